/* Smooth weighted round-robin: every pick credits each backend with its weight and charges the one
 * with the most credit the sum of all. Shares are exact over one round, and a heavy backend's turns
 * are spread over it instead of coming in a row.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <stddef.h>

static balance_pick_fn rr_pick;

struct backend *balance_in_turn(const struct choice *choice, balance_among_fn *among,
                                const void *ctx)
{
    struct backend *best = NULL;
    int64_t total = 0;
    for (uint32_t i = 0; i < choice->count; i++) {
        struct backend *b = choice->backends[i];
        if (!choice_has(choice, b) || (among && !among(choice, b, ctx)))
            continue;
        uint32_t share = backend_share(b, choice->now_us);
        b->credit += share;
        total += share;
        if (!best || b->credit > best->credit)
            best = b;
    }
    if (best)
        best->credit -= total;
    return best;
}

static struct backend *rr_pick(const struct choice *choice)
{
    return balance_in_turn(choice, NULL, NULL);
}

extern const struct balancer balance_rr;
const struct balancer balance_rr = {"round-robin", rr_pick};
