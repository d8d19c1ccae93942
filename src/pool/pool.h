/* A pool at run time: its backends and who is picked next. Shared by all workers.
 *
 * One small lock guards the list of backends and the balancer's numbers. It is held for the pick
 * alone, never across a system call.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <pthread.h>
#include <stdint.h>

#include "pool/balance.h"
#include "pool/pool_conf.h"

struct pool {
    const struct pool_conf *conf; /* outlives the pool */
    const struct balancer *balancer;
    uint32_t workers;
    pthread_spinlock_t lock;
    struct backend **backends;
    uint32_t count;
};

void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers);
/* No exchange uses it any more. */
void pool_fini(struct pool *p);

/* One address, as resolving a backend's name gave it. */
struct pool_address {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* Makes the backends of one `backend` line be exactly these addresses: those that stay keep their
 * state, new ones join, others leave (exchanges and idle connections end in their own time). Any
 * thread. */
void pool_set_addresses(struct pool *p, const struct backend_conf *conf,
                        const struct pool_address *addresses, uint32_t count);

/* Picks a backend that has not been tried, with a reference for the caller; NULL if there is none.
 * Any thread. */
struct backend *pool_pick(struct pool *p, const struct tried *tried);

#endif
