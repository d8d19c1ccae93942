/* A connection to a backend, busy with an exchange or idle and kept for the next.
 *
 * It belongs to the worker that opened it. While busy, its owner gets the events; while idle, any
 * event means that the backend closed it or sent what nobody asked for, and it is closed.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_CONN_H
#define POOL_CONN_H

#include "base/chain.h"
#include "net/stream.h"
#include "pool/backend.h"
#include "pool/pool_conf.h"

struct conn {
    struct stream stream;
    struct timer timer; /* the owner's deadline while busy; keep-alive while idle */
    struct deferred free;
    struct list idle_node;
    struct backend *backend;
    const struct pool_conf *pool;
    uint32_t worker;
    uint32_t requests; /* begun on this connection */
    struct chain out;  /* encoded, not yet sent */
    void *owner;       /* NULL while idle */
    void (*on_ready)(void *owner);
    void (*on_due)(void *owner);
    _Alignas(16) char codec_state[]; /* the codec's; zeroed when the connection is opened */
};

/* Who gets the events of a busy connection. */
struct conn_owner {
    void *owner;
    void (*on_ready)(void *owner);
    void (*on_due)(void *owner); /* the deadline set with timer_set has passed */
};

/* Starts connecting. NULL with *error = -errno when that fails at once. Takes over the caller's
 * reference on backend in either case. */
struct conn *conn_dial(struct loop *loop, struct backend *backend, const struct pool_conf *pool,
                       uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                       int *error);
/* An idle connection of this worker to the backend, which is now busy with owner; NULL if there is
 * none. sure: only one that is known not to have been closed by the backend (a system call). On
 * success takes over the caller's reference on backend. */
struct conn *conn_reuse(struct backend *backend, uint32_t worker, bool sure,
                        const struct conn_owner *owner);
/* Keeps it for the next exchange, or closes it when enough are kept. */
void conn_give(struct conn *c);
/* Closes it now and frees it at the end of the turn. */
void conn_close(struct conn *c);

#endif
