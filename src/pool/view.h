/* What there is to be seen of a pool, copied out at one moment for those who show it: the admin
 * server and the metrics. Read only.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_VIEW_H
#define POOL_VIEW_H

#include "pool/pool.h"

struct backend_view {
    char address[BACKEND_TEXT_MAX]; /* "10.0.0.9:8080", "unix:/run/app.sock" */
    char name[BACKEND_HOST_MAX];    /* as its line writes it: "app.internal:8080" */
    const char *state;              /* "up" */
    const char *why;                /* it is in this state; NULL: it has always been */
    uint64_t state_us;              /* since when, on the loops' clock; 0: since the start */
    uint32_t weight, conf_weight;
    uint32_t max_conns; /* 0: no limit */
    uint32_t open, busy, idle;
    uint32_t tier;      /* the lowest that is up is used; from BACKEND_TIER_BACKUP on: a backup */
    bool is_runtime;    /* added at run time: no line names it */
    bool weight_is_set; /* at run time */
    bool is_probed, probe_ok;
    uint64_t latency_us; /* mean lately, rising at once and falling slowly */
    struct backend_counts counts;
    const struct backend *backend; /* a reference */
};

struct pool_view {
    struct slice name, protocol; /* the configuration's */
    const char *balance;
    uint32_t open, busy; /* connections, and those of them in use */
    uint32_t waiting;    /* requests */
    uint32_t max_conns;  /* 0: no limit */
    uint32_t queue_length;
    bool is_overloaded; /* the newest are served first, see queue.h */
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
