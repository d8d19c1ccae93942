/* Finding out how many requests at a time do a backend good (`adaptive`): as long as answers take
 * hardly longer than with a few requests, more does not make them wait for each other.
 *
 * Now and then the limit goes down to its least for a moment, to measure what an answer takes then.
 * Otherwise, window by window: it grows while all of it is used and answers are quick, fast at
 * first; it shrinks by as much as they are too slow. With the pool's lock held.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_ADAPT_H
#define POOL_ADAPT_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct pool;
struct pool_outcome;

struct adapt {
    uint32_t limit;      /* 0: not in use */
    bool is_measuring;   /* what an answer takes with few requests */
    bool is_doubling;    /* no limit has been met yet */
    uint32_t found;      /* the limit, while it is lower in order to measure */
    uint64_t base_us;    /* with few requests */
    uint64_t measure_us; /* when that is to be measured next */
    uint64_t window_us;  /* the window began; requests begun before do not count in it */
    uint32_t answers, failures, most_busy;
    uint64_t sum_us;
};

/* The configuration of backend or pool has changed: settles b->max_open. */
void adapt_configure(struct pool *p, struct backend *b, uint64_t now_us);
/* What an attempt has shown; b->busy counts it no longer. */
void adapt_note(struct pool *p, struct backend *b, const struct pool_outcome *o, uint64_t now_us);

#endif
