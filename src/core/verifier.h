/* Whether passwords fit their hashes. Hashes of passwords are slow on purpose, tens of milliseconds
 * each, so that happens on threads of their own, beside the workers and behind them in priority.
 *
 * The queue is bounded, and so is what of it a client may have, so that who guesses fast does not
 * lock out the others. Answers are remembered for a while, not the passwords: under a number that
 * only this process can make of user, password and hash. The same question asked by many at once is
 * worked out once.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_VERIFIER_H
#define CORE_VERIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct loop;
struct verifier;
struct verify_wait;

enum { VERIFY_PASSWORD_MAX = 512, VERIFY_QUEUE_MAX = 128, VERIFY_CLIENT_MAX = 32 };

struct verify_question {
    struct slice user, password; /* password: at most VERIFY_PASSWORD_MAX bytes, without NUL */
    struct slice hash;           /* as crypt(5) has it; followed by a NUL; copied */
    struct slice client;         /* what stands for who asks */
    uint32_t keep_ms;            /* how long a yes is remembered; 0: not at all */
};

enum verification {
    VERIFY_YES,
    VERIFY_NO,
    VERIFY_LATER,  /* done() will tell */
    VERIFY_BUSY,   /* too many wait */
    VERIFY_ENOUGH, /* too many of this client do */
};

/* Starts its threads with the first question that needs one. */
struct verifier *verifier_new(void);
/* No loop runs any more that a question was asked from; what was posted to one may still be run. */
void verifier_stop(struct verifier *v);
void verifier_free(struct verifier *v);

/* By the thread that runs the loop; done() is called on it. LATER: *wait is set. */
enum verification verifier_ask(struct verifier *v, const struct verify_question *q,
                               struct loop *loop, void (*done)(void *ctx, bool yes), void *ctx,
                               struct verify_wait **wait);
/* The answer is not wanted any more. By the same thread, before done() was called. */
void verify_cancel(struct verify_wait *wait);

#endif
