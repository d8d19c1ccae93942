/* By a hash of the request: rendezvous hashing (Thaler and Ravishankar 1998; CARP is an instance of
 * it). Every backend draws a number from the key and its own name, and the highest wins, so that a
 * backend that leaves takes only its own keys with it. With weights w the score is -w / ln(draw),
 * which gives each its exact share (Schindelhauer and Schomaker 2005).
 *
 * One popular key must not drown its backend: no backend is given more than 1.25 times its share of
 * the requests under way (Mirrokni, Thorup, Zadimoghaddam 2018); then the next one in line is.
 * SPDX-License-Identifier: MIT */
#include "pool/balance.h"

#include <math.h>
#include <stddef.h>

#define LOAD_BOUND 1.25

static balance_pick_fn hash_pick;

struct load {
    uint64_t busy, share;
};

static struct load load_of(const struct choice *c)
{
    struct load load = {.busy = 0};
    for (uint32_t i = 0; i < c->count; i++) {
        const struct backend *b = c->backends[i];
        if (!choice_is_usable(c, b))
            continue;
        load.busy += b->busy;
        load.share += backend_share(b, c->now_us);
    }
    return load;
}

/* Whether another request keeps it within the bound; the bound is rounded up, and one at least. */
static bool is_within_bound(const struct choice *c, const struct backend *b,
                            const struct load *load)
{
    double fair = (double)(load->busy + 1) * backend_share(b, c->now_us) / (double)load->share;
    return b->busy < ceil(fair * LOAD_BOUND);
}

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* The weight counts, not the slow start: keys would wander there and back. */
static double score(const struct backend *b, uint64_t key)
{
    double draw = ((double)(mix(key ^ mix(b->id)) >> 11) + 0.5) * 0x1p-53;
    return -(double)b->weight / log(draw);
}

static struct backend *hash_pick(const struct choice *c)
{
    struct load load = load_of(c);
    struct backend *best = NULL, *otherwise = NULL;
    double best_score = 0, otherwise_score = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        struct backend *b = c->backends[i];
        if (!choice_has(c, b))
            continue;
        double s = score(b, c->key);
        if (s > otherwise_score)
            otherwise = b, otherwise_score = s;
        if (s > best_score && is_within_bound(c, b, &load))
            best = b, best_score = s;
    }
    return best ? best : otherwise;
}

extern const struct balancer balance_hash;
const struct balancer balance_hash = {"hash", hash_pick};
