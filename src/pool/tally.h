/* Numbers of a pool or a backend: one block for each worker, which alone writes to it, so that
 * counting shares no cache line; they are added up when somebody asks.
 *
 * They hang off the pool and the backend and go with them: an exchange that still counts holds a
 * reference. What is counted is in tally.def.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_TALLY_H
#define POOL_TALLY_H

#include "base/hist.h"

enum tally_counter {
#define TALLY_COUNTER(id, key, metric, labels, help) TALLY_##id,
#include "pool/tally.def"
#undef TALLY_COUNTER
    TALLY_COUNTERS
};

enum tally_hist {
#define TALLY_HIST(id, key, metric, help) TALLY_##id,
#include "pool/tally.def"
#undef TALLY_HIST
    TALLY_HISTS
};

struct tally {
    _Alignas(64) struct counter counters[TALLY_COUNTERS];
    struct hist hists[TALLY_HISTS];
};

/* All workers' together. */
struct tally_sum {
    uint64_t counters[TALLY_COUNTERS];
    struct hist_sum hists[TALLY_HISTS];
};

struct tally *tally_new(uint32_t workers) __attribute__((returns_nonnull));
void tally_free(struct tally *t);
/* Adds t, of so many workers, to sum. Any thread. */
void tally_read(const struct tally *t, uint32_t workers, struct tally_sum *sum);

#endif
