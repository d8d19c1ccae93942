/* Rates and counts for any number of keys in a table of fixed size, shared by all threads and exact
 * over them.
 *
 * Each bucket of a few entries has its own place in the table, and a few dozen locks divide the
 * buckets among them, each held for some tens of nanoseconds. Where a bucket is full, a rate's
 * entry that owes least is forgotten, so that its key may come again at once; that takes more keys
 * at a time than there are entries. A count is never forgotten: there the newcomer shares one.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LIMITER_H
#define CORE_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct limiter;
struct limiter_entry;

struct limiter *limiter_new(uint32_t entries);
void limiter_free(struct limiter *l);

/* A key as a number that nobody outside can aim at. space: keys of different spaces differ. */
uint64_t limiter_key(const struct limiter *l, struct slice key, bool space);

/* One every interval_ns in the long run, burst of them at once after a rest (GCRA: a virtual clock
 * of each key runs ahead by the interval with every one taken, and may be ahead by burst of them).
 * interval_ns * burst < 2^62. */
struct limiter_rate {
    uint64_t interval_ns;
    uint32_t burst;
};

/* Takes one for the key, to be used after so many ns: 0, or, if that is as long as patience_ns
 * allows, more. With a longer wait nothing is taken. */
uint64_t limiter_take(struct limiter *l, uint64_t key, const struct limiter_rate *rate,
                      uint64_t now_ns, uint64_t patience_ns);

/* Counts one for the key, until limiter_leave(). NULL: there are max already. */
struct limiter_entry *limiter_enter(struct limiter *l, uint64_t key, uint32_t max);
void limiter_leave(struct limiter *l, struct limiter_entry *e);

#endif
