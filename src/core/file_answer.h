/* Answers with a file: what `files` finds, and what an application hands over.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_FILE_ANSWER_H
#define CORE_FILE_ANSWER_H

#include "core/exchange.h"
#include "net/file_cache.h"

struct file_answer {
    struct file *file;          /* with a reference, which is taken over */
    struct slice type, coding;  /* of its contents; empty: not said */
    struct slice cache_control; /* empty: nothing is said */
    bool varies;                /* with Accept-Encoding */
    uint32_t ranges;            /* of one request; 0: none is served */
    bool is_fleeting;           /* another request will not find it: no validators of ours */
    const struct fields *kept;  /* fields that count more than ours; NULL: none */
    uint16_t status;            /* other than 200: conditions and ranges do not count. 0: 200 */
    const char *why;            /* for the trace */
};

/* In EX_ACT or EX_RELAY, while no response has begun. Either way the caller lets exchange_run() go
 * on. */
void file_answer_send(struct exchange *x, const struct file_answer *answer);

#endif
