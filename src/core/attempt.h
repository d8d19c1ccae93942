/* One try to have a backend answer: pick, connect or reuse, and what to do when it fails.
 *
 * A request is tried again only where that is safe: nothing of it was sent, or its method is
 * idempotent and its body untouched; and never once a byte of a response has been passed on.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ATTEMPT_H
#define CORE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "pool/conn.h"
#include "pool/pool.h"

struct exchange;

struct attempt {
    struct pool *pool;
    const struct back_codec *codec;
    struct waiter *waiter;   /* while it waits for a slot */
    struct conn *conn;       /* NULL: none open */
    struct backend *backend; /* of the newest attempt, for the log; a reference */
    struct tried tried;
    uint32_t count;  /* attempts begun */
    uint16_t status; /* what to answer if there is no other: 502, or 504 when time ran out */
    const char *why, *rule; /* the newest failure */
    bool reused;     /* conn had been idle */
    bool sent;       /* any byte of the request */
    bool fresh_only; /* a kept connection turned out stale: do not trust another */
    struct chain replay;  /* what was passed of the request body, while it can be sent again */
    bool replay_complete; /* replay holds all of it */
};

void attempt_init(struct attempt *at, struct pool *pool, const struct back_codec *codec);
/* Picks a backend and gets a connection to it: busy and ready (EX_RELAY), connecting (EX_CONNECT),
 * or waiting for a slot (EX_WAIT_SLOT). With none left, answers with the newest failure. */
void attempt_start(struct exchange *x);
/* The connection under way is established, or failed. */
void attempt_connected(struct exchange *x);

enum attempt_failure {
    FAIL_CONNECT,
    FAIL_BROKEN,
    FAIL_TIMEOUT,
    FAIL_PROTOCOL,
    FAIL_REFUSED, /* the backend says that it has not executed the request */
};
/* This attempt is over: tries again where that is safe, else answers 502 or 504. */
void attempt_fail(struct exchange *x, enum attempt_failure failure, const char *why,
                  const char *rule);
/* The response is complete: keeps the connection if the codec allows. */
void attempt_finish(struct exchange *x);
/* Drops whatever there is. */
void attempt_drop(struct exchange *x);

#endif
