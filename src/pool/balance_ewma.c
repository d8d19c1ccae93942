/* By latency: the backend that will probably answer first, which is its mean latency times the
 * requests it has to answer before. The mean rises at once with a slow answer and falls slowly
 * (see health.c). A backend that is not asked would keep its bad name for ever, so the memory of it
 * fades by half for every HALF_US: sooner or later it is tried again.
 *
 * Backends within a quarter of the best are alike and take turns: chasing noise helps nobody.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <stddef.h>

enum { HALF_US = 2000000, FADED = 40 };

static balance_pick_fn ewma_pick;
static balance_among_fn is_near;

static uint64_t latency_us(const struct backend *b, uint64_t now_us)
{
    uint64_t unheard_us = now_us > b->ewma_at_us ? now_us - b->ewma_at_us : 0;
    uint64_t halves = b->busy ? 0 : unheard_us / HALF_US;
    return b->ewma_us >> (halves < FADED ? halves : FADED);
}

static double cost(const struct backend *b, uint64_t now_us)
{
    double load = (double)b->busy * BACKEND_SHARE / backend_share(b, now_us);
    return (double)latency_us(b, now_us) * (1 + load);
}

static bool is_near(const struct choice *c, const struct backend *b, const void *least)
{
    return cost(b, c->now_us) <= *(const double *)least * 1.25;
}

static struct backend *ewma_pick(const struct choice *choice)
{
    double least = -1;
    for (uint32_t i = 0; i < choice->count; i++) {
        const struct backend *b = choice->backends[i];
        double here = choice_has(choice, b) ? cost(b, choice->now_us) : -1;
        if (here >= 0 && (least < 0 || here < least))
            least = here;
    }
    return least < 0 ? NULL : balance_in_turn(choice, is_near, &least);
}

extern const struct balancer balance_ewma;
const struct balancer balance_ewma = {"ewma", ewma_pick};
