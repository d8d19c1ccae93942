/* A backend: one socket address of a pool, its idle connections and its numbers.
 *
 * Counted, because an exchange or a connection may still use one that has left its pool. The count
 * is atomic; everything else that changes is guarded by the pool's lock, but for the lists of idle
 * connections: each is touched by its own worker alone.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BACKEND_H
#define POOL_BACKEND_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/slice.h"

struct backend_conf;
struct tally;

/* The idle connections of one worker to one backend; on a cache line of its own. */
struct idle {
    _Alignas(64) struct list conns; /* most recently used first */
    uint32_t count;                 /* of them, less those promised; under the pool's lock */
};

enum { BACKEND_NO_SLOT = UINT32_MAX };

struct backend {
    atomic_uint refs;
    const struct backend_conf *conf; /* its line; not to be used once it has left its pool */
    char host[256];                  /* as the line writes it, for the Host field if it is to be ours */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char text[80]; /* address for logs: "10.0.0.9:8080", "unix:/run/app.sock" */
    uint32_t weight;
    uint32_t max_open; /* connections at a time; UINT32_MAX: no limit */
    uint32_t open;     /* connections there are, or that someone has leave to make */
    uint32_t busy;     /* of them, in use by an exchange */
    uint32_t slot;     /* of the process that listens there; BACKEND_NO_SLOT: none of ours */
    uint64_t served;   /* times it was given to an exchange */
    int64_t credit;    /* smooth weighted round-robin */
    struct tally *tally; /* by worker: what became of its requests */
    uint32_t idle_lists;
    struct idle idle[]; /* by worker */
};

struct backend *backend_new(const struct backend_conf *conf, const struct sockaddr *addr,
                            socklen_t addr_len, uint32_t workers);
/* Its line in a new configuration. With the pool's lock held. */
void backend_set_conf(struct backend *b, const struct backend_conf *conf);
void backend_unref(struct backend *b);
static inline struct backend *backend_ref(struct backend *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

#endif
