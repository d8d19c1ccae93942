/* Least connections: the backend with the fewest requests under way for its weight; those that are
 * alike take turns.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <stddef.h>

static balance_pick_fn least_pick;
static balance_among_fn is_as_free;

/* busy / share, compared without dividing. */
static int compare(const struct choice *c, const struct backend *a, const struct backend *b)
{
    uint64_t left = (uint64_t)a->busy * backend_share(b, c->now_us);
    uint64_t right = (uint64_t)b->busy * backend_share(a, c->now_us);
    return left < right ? -1 : left > right;
}

static bool is_as_free(const struct choice *c, const struct backend *b, const void *best)
{
    return compare(c, b, best) <= 0;
}

static struct backend *least_pick(const struct choice *choice)
{
    struct backend *best = NULL;
    for (uint32_t i = 0; i < choice->count; i++) {
        struct backend *b = choice->backends[i];
        if (choice_has(choice, b) && (!best || compare(choice, b, best) < 0))
            best = b;
    }
    return best ? balance_in_turn(choice, is_as_free, best) : NULL;
}

extern const struct balancer balance_least;
const struct balancer balance_least = {"least-conn", least_pick};
