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
#include "core/hedge.h"
#include "core/lane.h"
#include "pool/pool.h"

struct exchange;

struct attempt {
    struct pool *pool;
    const struct back_codec *codec;
    struct waiter *waiter;   /* while it waits for a slot */
    struct lane lane;        /* the connection, or its part of one */
    struct backend *backend; /* of the newest attempt, for the log; by backend_use() */
    struct demand demand;
    struct hedge hedge;
    uint64_t deadline_us;   /* for all attempts, until the response head; 0: none */
    uint32_t count;         /* attempts begun */
    uint16_t status;        /* what to answer if there is no other: 502, or 504 when time ran out */
    const char *why, *rule; /* the newest failure */
    struct slice redirect;  /* of CGI, inside the gateway, once its response has ended */
    uint64_t vacant_us;     /* since when nobody has been there to be asked; 0: no such wait */
    uint64_t left_out_us;   /* when the first of those was that have asked nobody */
    uint32_t left_out;      /* how many have */
    bool reused;            /* the connection had been there before */
    bool sent;              /* any byte of the request */
    bool is_stale;          /* the newest failure was a kept connection's: no fault of anybody */
    bool is_own_end;        /* the newest failure was the end of a process of ours */
    bool fresh_only;        /* a kept connection turned out stale: do not trust another */
    struct chain replay;    /* what was passed of the request body, while it can be sent again */
    bool replay_complete;   /* replay holds all of it */
};

/* Whether there is a backend that has taken all there was for it. */
static inline bool attempt_is_flushed(const struct attempt *at)
{
    return lane_is_open(&at->lane) && chain_is_empty(at->lane.out);
}

void attempt_init(struct attempt *at, struct pool *pool, const struct back_codec *codec);
void attempt_fini(struct attempt *at, uint32_t worker);
/* Picks a backend and gets a connection to it: busy and ready (EX_RELAY), connecting (EX_CONNECT),
 * or waiting for a slot (EX_WAIT_SLOT). With none left, answers with the newest failure. */
void attempt_start(struct exchange *x);
/* No slot became free in time. */
void attempt_wait_over(struct exchange *x);
/* A deadline on the backend's side has passed. Runs the exchange, too. */
void attempt_on_due(struct exchange *x);
/* Why there is no connection; error: -errno. */
const char *attempt_connect_why(struct exchange *x, int error);
/* Why the connection broke: what TLS says, else what the caller knows. */
const char *attempt_broken_why(struct exchange *x, const char *otherwise);
/* The connection under way is established, or failed. */
void attempt_connected(struct exchange *x);
/* Asks another backend as well, if one can be asked at once; see hedge.h. */
void attempt_hedge(struct exchange *x);
/* Dials another address of the backend's name as well, if there is one; see hedge.h. */
void attempt_race(struct exchange *x);
/* For hedge.c: a connection that is busy with the request becomes the attempt's again. */
void attempt_own(struct exchange *x, struct conn *c);

enum attempt_failure {
    FAIL_CONNECT,
    FAIL_BROKEN,
    FAIL_TIMEOUT,
    FAIL_PROTOCOL,
    FAIL_REFUSED, /* the backend says that it has not executed the request */
    FAIL_STATUS,  /* it has answered with a status that is tried again */
};
/* The head of a response, x->resp, has come and nothing of it is passed on yet. True: it will not
 * be, for another backend is asked. */
bool attempt_rejects(struct exchange *x);
/* How long something may take that has ms by itself, before the request's own deadline. */
uint64_t attempt_limit_ms(const struct exchange *x, uint32_t ms);
/* This attempt is over: tries again where that is safe, else answers 502 or 504. */
void attempt_fail(struct exchange *x, enum attempt_failure failure, const char *why,
                  const char *rule);
/* The response is complete: keeps the connection if the codec allows. */
void attempt_finish(struct exchange *x);
/* What was passed of the request's body, and can be sent again, goes back in front of the rest. */
void attempt_rewind(struct exchange *x);
/* It has answered, and what still comes is not wanted: closes the connection. */
void attempt_leave(struct exchange *x);
/* Drops whatever there is. */
void attempt_drop(struct exchange *x);

#endif
