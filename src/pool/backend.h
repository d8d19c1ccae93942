/* A backend: one socket address of a pool, and its idle connections.
 *
 * Counted, because an exchange or an idle connection may still use one that has left its pool. The
 * count is atomic; the balancer's numbers are guarded by the pool's lock; each worker touches only
 * its own idle list.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BACKEND_H
#define POOL_BACKEND_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/slice.h"

struct backend_conf;

/* The idle connections of one worker to one backend; on a cache line of its own. */
struct idle {
    _Alignas(64) struct list conns; /* most recently used first */
    uint32_t count;
};

struct backend {
    atomic_uint refs;
    const struct backend_conf *conf; /* outlives the backend: in the pool's snapshot */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char text[80]; /* address for logs: "10.0.0.9:8080", "unix:/run/app.sock" */
    uint32_t weight;
    int64_t credit; /* smooth weighted round-robin; under the pool's lock */
    uint32_t idle_lists;
    struct idle idle[]; /* by worker */
};

struct backend *backend_new(const struct backend_conf *conf, const struct sockaddr *addr,
                            socklen_t addr_len, uint32_t workers);
void backend_unref(struct backend *b);
static inline struct backend *backend_ref(struct backend *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

#endif
