/* A balancer picks among the backends of a pool. One file and one line in balancers.def each.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BALANCE_H
#define POOL_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/backend.h"

/* The backends an exchange has tried; its next attempt goes elsewhere. */
enum { TRIED_MAX = 8 };
struct tried {
    const struct backend *backends[TRIED_MAX];
    uint32_t count;
};

static inline bool tried_has(const struct tried *t, const struct backend *b)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->backends[i] == b)
            return true;
    return false;
}

/* What may be picked: not tried, and with an idle connection of this worker or room for a new one. */
struct choice {
    struct backend **backends;
    uint32_t count;
    const struct tried *tried;
    uint32_t worker;
    bool may_open; /* the pool as a whole has room for another connection */
};

static inline bool choice_has(const struct choice *c, const struct backend *b)
{
    bool may_open = c->may_open && b->open < b->max_open;
    bool may_reuse = b->idle[c->worker].count > 0 && b->open <= b->max_open;
    return (may_open || may_reuse) && !tried_has(c->tried, b);
}

/* Called with the pool's lock held. NULL: none may be picked. */
typedef struct backend *balance_pick_fn(const struct choice *choice);

struct balancer {
    const char *name;
    balance_pick_fn *pick;
};

#endif
