/* A pool at run time: its backends, who is picked next, and who waits. Shared by all workers.
 *
 * A slot is leave to have one connection to a backend in use. There are as many as the limits allow
 * (max-conns of the backend and of the pool), counted for the whole gateway: `open` never passes the
 * limit at any moment. Who finds no slot waits here, in the order of arrival, not in the backend's
 * accept queue. A slot that becomes free goes to exactly one waiter, together with its connection
 * if that can be used again; nobody overtakes a waiter.
 *
 * One small lock guards all of it. It is held for a pick or a hand-over alone, never across a system
 * call. Idle connections stay with the worker that opened them; when the pool is at its limit and
 * another worker has waiters, it is asked to hand one over.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <pthread.h>
#include <stdint.h>

#include "net/loop.h"
#include "pool/balance.h"
#include "pool/pool_conf.h"
#include "pool/tally.h"

struct conn;
struct waiter;

/* A worker as the pool knows it: where to send it messages. */
struct pool_worker {
    struct pool *pool;
    struct loop *loop;
    struct post yield; /* "hand over idle connections to who waits" */
    bool yield_posted; /* under the lock */
};

struct pool {
    const struct pool_conf *_Atomic conf; /* replaced by pool_set_conf */
    const struct balancer *balancer;
    struct pool_worker *workers;
    uint32_t worker_count;
    pthread_spinlock_t lock;
    struct backend **backends;
    uint32_t count;
    uint32_t max_open, open; /* over all backends */
    atomic_bool is_retired;
    void (*_Atomic on_wait)(void *ctx); /* NULL: the backends are what they are */
    void *on_wait_ctx;
    struct list waiters;     /* oldest first */
    uint32_t waiting;
    struct tally *tally; /* by worker: what became of its requests */
};

/* workers: of the gateway; pool_set_loop tells where each runs, before any request. */
void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers);
void pool_set_loop(struct pool *p, uint32_t worker, struct loop *loop);
/* No exchange and no connection is there any more. */
void pool_fini(struct pool *p);

/* A new configuration of the same pool takes the place of the old one, which must stay readable
 * until no worker can be looking at it any more. Backends of lines that are still there keep their
 * connections, state and place; the others leave. From the thread that sets addresses. */
void pool_set_conf(struct pool *p, const struct pool_conf *conf);

/* No configuration has the pool any more: this worker's idle connections are closed, and none is kept
 * from now on. Requests under way end in their own time. */
void pool_retire(struct pool *p, uint32_t worker);

/* One address, as resolving a backend's name gave it. */
struct pool_address {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* Makes the backends of one `backend` line be exactly these addresses: those that stay keep their
 * state, new ones join, others leave (exchanges and idle connections end in their own time). From
 * one thread only. */
void pool_set_addresses(struct pool *p, const struct backend_conf *conf,
                        const struct pool_address *addresses, uint32_t count);

/* ---- backends that are processes of ours ---- */

/* The pool's backends come and go as somebody starts and stops processes: a request that finds none
 * waits, and on_wait is called, by any thread. Before any request. */
void pool_set_grower(struct pool *p, void (*on_wait)(void *ctx), void *ctx);
/* Requests may go to the process in this slot, capacity at a time; 0: no new ones. */
void pool_put_slot(struct pool *p, uint32_t slot, const struct pool_address *address,
                   uint32_t capacity);
void pool_drop_slot(struct pool *p, uint32_t slot);
struct slot_load {
    uint32_t busy;   /* requests it has */
    uint64_t served; /* requests it was given since pool_put_slot() first named it */
};
struct slot_load pool_slot_load(struct pool *p, uint32_t slot);
uint32_t pool_waiting(struct pool *p);

/* ---- slots ---- */

enum pick {
    PICK_IDLE, /* *backend, whose idle list of this worker holds a connection for the caller */
    PICK_DIAL, /* *backend, with leave to open a connection */
    PICK_WAIT, /* no slot is free: see pool_wait() */
    PICK_NONE, /* every backend has been tried, or there is none */
};

/* Picks a backend that has not been tried and takes a slot of it, with a reference on the backend.
 * again: the caller had a slot before and is not put behind those who wait. */
enum pick pool_pick(struct pool *p, uint32_t worker, const struct tried *tried, bool again,
                    struct backend **backend);

/* Gives a slot back: the connection is closed, or was never made. Wakes a waiter, if any. */
void pool_release(struct pool *p, struct backend *b);
/* Gives a slot back with its connection, if that may be kept. */
enum park {
    PARK_IDLE,   /* the caller puts the connection on the idle list of this worker */
    PARK_HANDED, /* it goes to a waiter and is no longer the caller's */
    PARK_FULL,   /* the backend has more than it may have: to be closed, and the slot released */
};
enum park pool_park(struct pool *p, struct conn *c);
/* An idle connection is about to be closed. */
void pool_unpark(struct pool *p, struct backend *b, uint32_t worker);

/* ---- waiting ---- */

/* Somebody who waits for a slot. Allocated, for a slot may be on its way to him when he goes. */
struct waiter {
    struct list node;
    struct pool *pool;
    uint32_t worker;
    const struct tried *tried; /* the exchange's, while it waits */
    void *owner;               /* NULL: has gone */
    void (*granted)(void *owner, struct backend *b, struct conn *c);
    struct backend *backend; /* granted: a reference, and a slot */
    struct conn *conn;       /* granted: its connection; NULL: leave to dial */
    struct post post;
    struct deferred hand_over;
};

/* Queues for a slot. granted() is called once, by the worker's own loop and never from inside
 * another call of this module, with a slot, a reference on b, and a connection of this worker or
 * NULL. NULL: the queue is full. */
struct waiter *pool_wait(struct pool *p, uint32_t worker, const struct tried *tried, bool again,
                         void *owner,
                         void (*granted)(void *owner, struct backend *b, struct conn *c));
/* The owner waits no longer; granted() will not be called. */
void pool_unwait(struct waiter *w);

#endif
