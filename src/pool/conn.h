/* A connection to a backend: busy with an exchange, or idle and kept for the next. It holds a slot
 * of its backend as long as it is open.
 *
 * It belongs to one worker at a time. While busy, its owner gets the events; while idle, any event
 * means that the backend closed it or sent what nobody asked for, and it is closed; while it is
 * being handed to a waiter events are noted and nothing else. One that several exchanges share has
 * an owner that speaks for them, and stays with its worker.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_CONN_H
#define POOL_CONN_H

#include "base/chain.h"
#include "net/stream.h"
#include "pool/backend.h"
#include "pool/pool.h"

enum conn_state { CONN_BUSY, CONN_IDLE, CONN_HANDED, CONN_CLOSED };

struct conn {
    struct stream stream;
    struct timer timer; /* the owner's deadline while busy; keep-alive while idle */
    struct deferred free;
    struct list idle_node; /* while idle; or among those that are shared */
    enum conn_state state;
    bool is_shared; /* its requests are counted by who shares it (pool_offer, pool_leave) */
    struct backend *backend;
    struct pool *pool;
    uint32_t worker;
    uint32_t requests;           /* begun on this connection */
    uint64_t since_ms;           /* it was opened */
    struct pool_outcome outcome; /* of the attempt under way; told to the pool with the slot */
    struct timer redial;         /* a unix socket whose backlog is full is tried again */
    uint32_t redial_ms;
    char *lead; /* or NULL: until it is sent */
    size_t lead_bytes;
    struct chain out; /* encoded, not yet sent */
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_due)(void *owner);
    bool is_answered; /* the newest response was complete */
    /* Told when it closes, if set; is_answered: the other end has said all. */
    void (*on_closed)(void *ctx, bool is_answered);
    void *closed_ctx;
    /* Several exchanges can share it: what comes while it is idle goes here; false: it is of no
     * more use. NULL: what comes while it is idle is its end. */
    bool (*on_idle)(void *closed_ctx);
    _Alignas(16) char codec_state[]; /* the codec's; zeroed when the connection is opened */
};

/* Who gets the events of a busy connection. */
struct conn_owner {
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_due)(void *owner); /* the deadline set with timer_set has passed */
    /* For conn_dial(): what goes out before all else, in the clear; copied. */
    struct slice lead;
    bool writes_once; /* what the owner sends goes out in one write, unless it is encrypted */
};

/* Starts connecting, with a slot of the backend and a reference on it, both of which it takes over;
 * on failure (NULL, *error = -errno) they are given back. A unix socket whose backlog is full is no
 * failure: the slot is held and connecting tried again, until the owner's deadline. When the
 * connection stands, or cannot (stream.error, stream.reset), on_ready is called. */
struct conn *conn_dial(struct loop *loop, struct backend *backend, struct pool *pool,
                       uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                       int *error);
/* The same with the pipes of a program, see duplex.h. */
struct conn *conn_adopt(struct loop *loop, int from, int to, struct backend *backend,
                        struct pool *pool, uint32_t worker, size_t codec_bytes,
                        const struct conn_owner *owner, int *error);
/* How far a kept connection is trusted to be alive still. */
enum conn_trust {
    CONN_TRUST, /* the other end may have closed it meanwhile: only another attempt is lost */
    CONN_LOOK,  /* a look is taken, with a system call */
    CONN_DOUBT, /* not at all: it is closed */
};

/* The idle connection that pool_pick promised, now busy with owner. NULL if it turns out to be
 * dead: the slot stays with the caller, with a reference on backend, and he may dial. */
struct conn *conn_reuse(struct backend *backend, uint32_t worker, enum conn_trust trust,
                        const struct conn_owner *owner);
/* The same for one that was granted to a waiter. */
struct conn *conn_own(struct conn *c, enum conn_trust trust, const struct conn_owner *owner);
/* The exchange is done with it: keeps it, hands it to who waits, or closes it. */
void conn_give(struct conn *c);
/* Several exchanges will share it, whose owner is told; see carrier.h of the core. */
void conn_share(struct conn *c, bool (*on_idle)(void *ctx),
                void (*on_closed)(void *ctx, bool by_peer), void *ctx);
/* One that is shared and was idle has been taken: this is who gets its events. */
void conn_own_shared(struct conn *c, const struct conn_owner *owner);
/* Whether it has served long enough (keep-alive requests, age). */
bool conn_is_worn(const struct conn *c);
/* Whether it stands: 0, -EINPROGRESS, or why it cannot (-errno). */
int conn_connect_result(const struct conn *c);
/* Right after conn_dial(): has that answer known at once where it is settled by then. Over TCP the
 * first event tells. */
void conn_look(struct conn *c);
/* Closes it now, gives its slot back and frees it at the end of the turn. Harmless when closed. */
void conn_close(struct conn *c);

/* A stream that has just been dialled is encrypted if the pool wants that. */
void conn_encrypt(struct stream *s, struct pool *pool, struct backend *b);

/* For pool.c: takes a promised connection off the idle list; moves one between workers. */
struct conn *conn_take_idle(struct backend *backend, uint32_t worker);
void conn_detach(struct conn *c);
/* False: it could not be used and is gone; its slot is the caller's. */
bool conn_attach(struct conn *c, struct loop *loop, uint32_t worker);

#endif
