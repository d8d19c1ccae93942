/* A balancer picks among the backends of a pool. One file and one line in balancers.def each.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BALANCE_H
#define POOL_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/backend.h"

/* The backends an exchange has tried, with a reference on each; its next attempt goes elsewhere. */
enum { TRIED_MAX = 8 };
struct tried {
    struct backend *backends[TRIED_MAX];
    uint32_t count;
};

static inline bool tried_has(const struct tried *t, const struct backend *b)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->backends[i] == b)
            return true;
    return false;
}

/* What may be picked: in one of the states, of the tier, not tried, and with an idle connection of
 * this worker or room for a new one. */
struct choice {
    struct backend **backends;
    uint32_t count;
    const struct tried *tried;
    uint32_t states; /* a bit for each */
    uint32_t tier;
    uint32_t worker;
    bool use_idle;  /* an idle connection of the worker will do */
    bool use_lanes; /* a lane of one of its shared connections will do */
    bool may_open;  /* the pool as a whole has room for another connection */
    uint64_t key;   /* of the request, for balancers that hash */
    uint64_t now_us;
    uint64_t *random; /* state of choice_random(), not 0 */
};

static inline bool choice_is_usable(const struct choice *c, const struct backend *b)
{
    return c->states >> b->state & 1 && b->tier == c->tier && !tried_has(c->tried, b);
}

static inline bool choice_has_room(const struct choice *c, const struct backend *b)
{
    const struct idle *idle = &b->idle[c->worker];
    bool has_one = (c->use_idle && idle->count > 0) || (c->use_lanes && idle->lanes > 0);
    bool may_reuse = has_one && b->open <= b->max_open;
    return may_reuse || (c->may_open && b->open < b->max_open);
}

static inline bool choice_has(const struct choice *c, const struct backend *b)
{
    return choice_has_room(c, b) && choice_is_usable(c, b);
}

/* xorshift64*: plenty for spreading requests. */
static inline uint64_t choice_random(const struct choice *c)
{
    *c->random ^= *c->random >> 12;
    *c->random ^= *c->random << 25;
    *c->random ^= *c->random >> 27;
    return *c->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* Called with the pool's lock held. NULL: none may be picked. */
typedef struct backend *balance_pick_fn(const struct choice *choice);

struct balancer {
    const char *name;
    balance_pick_fn *pick;
};

/* Smooth weighted round-robin among those that `among` names: for balancers whose measure has found
 * several alike. */
typedef bool balance_among_fn(const struct choice *choice, const struct backend *b,
                              const void *ctx);
struct backend *balance_in_turn(const struct choice *choice, balance_among_fn *among,
                                const void *ctx);

#endif
