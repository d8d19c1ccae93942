/* What there is to be seen of a pool, copied out at one moment for those who show it: the admin
 * server and the metrics. Read only.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_VIEW_H
#define POOL_VIEW_H

#include "pool/pool.h"

struct backend_view {
    char address[80]; /* "10.0.0.9:8080", "unix:/run/app.sock" */
    char name[256];   /* the line it stems from, as written: "app.internal:8080" */
    const char *state; /* "up" */
    uint32_t weight, conf_weight;
    uint32_t max_conns; /* 0: no limit */
    uint32_t open, busy;
    const struct backend *backend; /* a reference */
};

struct pool_view {
    struct slice name, protocol; /* the configuration's */
    const char *balance;
    uint32_t open, busy; /* connections, and those of them in use */
    uint32_t waiting;    /* requests */
    uint32_t max_conns;  /* 0: no limit */
    uint32_t queue_length;
    uint32_t count;
    struct backend_view *backends;
};

/* Main thread. The view lives until the next configuration is put in place. */
struct pool_view *pool_view_new(struct pool *p) __attribute__((returns_nonnull));
void pool_view_free(struct pool_view *v);

/* Their numbers, all workers' together, are added to sum. */
void pool_view_tally(const struct pool *p, struct tally_sum *sum);
void backend_view_tally(const struct pool *p, const struct backend_view *b, struct tally_sum *sum);

#endif
