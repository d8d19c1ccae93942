/* SPDX-License-Identifier: MIT */
#include "pool/tally.h"

#include <stdlib.h>
#include <string.h>

struct tally *tally_new(uint32_t workers)
{
    struct tally *t = aligned_alloc(_Alignof(struct tally), workers * sizeof(*t));
    if (!t)
        abort();
    memset(t, 0, workers * sizeof(*t));
    return t;
}

void tally_free(struct tally *t)
{
    free(t);
}

void tally_read(const struct tally *t, uint32_t workers, struct tally_sum *sum)
{
    for (uint32_t w = 0; w < workers; w++) {
        for (uint32_t i = 0; i < TALLY_COUNTERS; i++)
            sum->counters[i] += counter_get(&t[w].counters[i]);
        for (uint32_t i = 0; i < TALLY_HISTS; i++)
            hist_read(&t[w].hists[i], &sum->hists[i]);
    }
}
