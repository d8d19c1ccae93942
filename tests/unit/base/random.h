/* Reproducible numbers for tests that compare random operations with a model.
 * SPDX-License-Identifier: MIT */
#ifndef TEST_BASE_RANDOM_H
#define TEST_BASE_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* the seed, not 0 */
};

/* xorshift64* */
static inline uint64_t random_next(struct random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1d;
}

static inline uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)((random_next(r) >> 32) % n);
}

#endif
