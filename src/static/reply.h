/* The response to a request for a file: 200, 304, 412, 206 or 416 (RFC 9110 13, 14), its fields,
 * and its body as pieces of the file.
 *
 * Fields that the head has already count: an application that hands a file over may have said what
 * it is, and of which version. SPDX-License-Identifier: MIT */
#ifndef STATIC_REPLY_H
#define STATIC_REPLY_H

#include "base/chain.h"
#include "http/condition.h"
#include "http/range.h"
#include "net/file_cache.h"

/* A file as a representation. */
struct representation {
    struct file *file;
    const struct file_cache_conf *cache_conf;
    struct slice type;          /* empty: not said */
    struct slice coding;        /* of a precompressed file; empty: none */
    struct slice cache_control; /* empty: nothing is said */
    bool varies;                /* with Accept-Encoding */
    uint32_t ranges;            /* served in one request */
    bool is_fleeting;           /* gone with this response: validators would be of no use */
    uint64_t boundary;          /* for the parts of several ranges: nobody can guess it */

    /* Filled in by reply_decide(). */
    struct validators validators;
    struct ranges parts; /* 206 */
};

/* What to answer: the status. fields: of the response so far. now_s: wall clock. */
uint16_t reply_decide(struct representation *rep, const struct request_head *req,
                      const struct fields *fields, int64_t now_s, struct arena *a);
/* Adds the fields for this status, and the body. 412 and 416 have none of the file's. */
void reply_fill(const struct representation *rep, uint16_t status, struct fields *fields,
                struct chain *body, struct arena *a);

#endif
