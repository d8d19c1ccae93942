/* Durations in fixed buckets, four for each doubling: 16 us to 67 s, and one beyond.
 *
 * One thread counts, any thread may read meanwhile: every number is atomic by itself, so that a
 * reader sees each of them whole, though not all of the same moment. Counting costs two additions.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HIST_FIRST = 4,      /* the first bucket takes what is up to 2^4 us */
    HIST_LAST = 26,      /* the last one what is more than 2^26 us */
    HIST_PER_DOUBLE = 4, /* buckets for each doubling */
    HIST_BUCKETS = 1 + (HIST_LAST - HIST_FIRST) * HIST_PER_DOUBLE + 1,
};

/* A number with one writer. */
struct counter {
    _Atomic uint64_t n;
};

static inline void counter_add(struct counter *c, uint64_t n)
{
    uint64_t old = atomic_load_explicit(&c->n, memory_order_relaxed);
    atomic_store_explicit(&c->n, old + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->n, memory_order_relaxed);
}

struct hist {
    struct counter sum_us;
    struct counter buckets[HIST_BUCKETS];
};

/* What was read of one histogram, or of several together. */
struct hist_sum {
    uint64_t count, sum_us;
    uint64_t buckets[HIST_BUCKETS];
};

static inline uint32_t hist_bucket(uint64_t us)
{
    uint64_t v = us ? us - 1 : 0; /* bounds are inclusive above */
    if (v >> HIST_FIRST == 0)
        return 0;
    unsigned log2 = 63u - (unsigned)__builtin_clzll(v);
    if (log2 >= HIST_LAST)
        return HIST_BUCKETS - 1;
    return 1 + (log2 - HIST_FIRST) * HIST_PER_DOUBLE + (uint32_t)(v >> (log2 - 2) & 3);
}

static inline void hist_count(struct hist *h, uint64_t us)
{
    counter_add(&h->sum_us, us);
    counter_add(&h->buckets[hist_bucket(us)], 1);
}

/* The longest duration a bucket takes; UINT64_MAX for the last. */
uint64_t hist_upper_us(uint32_t bucket);
/* Adds what h holds to sum. */
void hist_read(const struct hist *h, struct hist_sum *sum);
/* How long the q-th part (0..1) of all took at most, interpolated inside a bucket; 0 of nothing. */
uint64_t hist_quantile_us(const struct hist_sum *sum, double q);

#endif
