/* What an attempt has of a connection to a backend: all of it, or one lane of a connection that
 * several exchanges share (carrier.h). Attempt and relay speak to a lane and do not ask which.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LANE_H
#define CORE_LANE_H

#include <stdbool.h>
#include <sys/types.h>

#include "codec/codec.h"
#include "pool/conn.h"

struct carrier;
struct exchange;

struct lane {
    struct chain *out; /* encoded, not yet sent; NULL: there is no connection */
    struct conn *conn; /* the connection; NULL: it is lost, of one that was shared */
    void *state;       /* the codec's */
    struct timer *timer;
    struct pool_outcome *outcome;

    struct carrier *carrier; /* NULL: the connection is its own; else what follows is used */
    struct exchange *exchange;
    struct mux_lane shared;
    struct list node;
    struct timer own_timer;
    struct pool_outcome own_outcome;
    uint64_t seen_bytes; /* of shared.sent_bytes */
};

static inline bool lane_is_open(const struct lane *l)
{
    return l->out;
}

/* A connection of the attempt's own. */
void lane_set_conn(struct lane *l, struct conn *c);
/* 0, -EINPROGRESS, or -errno: how connecting goes. */
int lane_connect_result(const struct lane *l);

/* Sends what it can of out. Bytes that have gone since this was last asked. */
size_t lane_flush(struct lane *l);
/* out is all of the request: it may go out together with others, soon. False: flush it. */
bool lane_send_soon(struct lane *l);
/* Whether all that is in out has gone, or goes soon. */
bool lane_is_flushed(const struct lane *l);
/* It was to be sent soon, and the connection was broken before anything of it went out. */
bool lane_is_unsent(const struct lane *l);
/* Nothing more will be sent: tells the backend so by closing our side. */
void lane_finish(struct lane *l);
/* Whether the backend may have seen anything of the request. */
bool lane_is_sent(const struct lane *l);

/* What has come and was not decoded; *hold keeps it alive (NULL: nothing is there). */
struct slice lane_bytes(const struct lane *l, struct buf **hold);
void lane_consume(struct lane *l, size_t n);
/* The codec wants more than lane_bytes() had, of which it took n: whether there is more, then to be
 * seen in one piece. */
bool lane_gather(struct lane *l, size_t n);
/* Reads more, of a head, or of a body whose receiver keeps up or does not. Bytes; 0: the backend
 * has closed; -EAGAIN; -errno. */
enum lane_fill { FILL_HEAD, FILL_BODY, FILL_DEEP };
ssize_t lane_fill(struct lane *l, enum lane_fill what);
/* What the encryption has against the connection; "": nothing. */
const char *lane_why(const struct lane *l);
/* Why a shared connection ended, if the backend broke the protocol; else NULL. */
const char *lane_fault(const struct lane *l);
/* Whether the connection takes no other request, so that one refused here may go to another
 * connection of the same backend. */
bool lane_is_leaving(const struct lane *l);

/* Whether it is of a shared connection that has answered others: if that breaks, it has ended. */
bool lane_has_worked(const struct lane *l);

/* The exchange is done with it. is_reusable: the message ended well and another may follow. */
void lane_end(struct lane *l, bool is_reusable);

#endif
