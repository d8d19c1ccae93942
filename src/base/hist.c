/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

uint64_t hist_upper_us(uint32_t bucket)
{
    if (bucket == 0)
        return UINT64_C(1) << HIST_FIRST;
    if (bucket >= HIST_BUCKETS - 1)
        return UINT64_MAX;
    uint32_t log2 = (bucket - 1) / HIST_PER_DOUBLE + HIST_FIRST;
    uint64_t parts = (bucket - 1) % HIST_PER_DOUBLE + 1;
    return (UINT64_C(1) << log2) + (parts << (log2 - 2));
}

void hist_read(const struct hist *h, struct hist_sum *sum)
{
    sum->sum_us += counter_get(&h->sum_us);
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        uint64_t n = counter_get(&h->buckets[i]);
        sum->buckets[i] += n;
        sum->count += n;
    }
}

uint64_t hist_quantile_us(const struct hist_sum *sum, double q)
{
    double wanted = q * (double)sum->count, before = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        double n = (double)sum->buckets[i];
        if (n == 0 || before + n < wanted) {
            before += n;
            continue;
        }
        uint64_t lower = i ? hist_upper_us(i - 1) : 0;
        if (i == HIST_BUCKETS - 1)
            return lower;
        return lower + (uint64_t)((wanted - before) / n * (double)(hist_upper_us(i) - lower));
    }
    return 0;
}
