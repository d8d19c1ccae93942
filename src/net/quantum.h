/* How much to do at once, found out from how long it takes: what is half a millisecond on one
 * machine is two on another, or when what shares its caches is busy. A mean over the last few
 * times, so that one during which the processor was away does not count for much.
 * SPDX-License-Identifier: MIT */
#ifndef NET_QUANTUM_H
#define NET_QUANTUM_H

#include <stdint.h>

enum { QUANTUM_MEMORY = 8 };

struct quantum {
    uint32_t sum;      /* QUANTUM_MEMORY times what to do at once */
    uint32_t min, max; /* of what is done at once */
    uint32_t us;       /* that it is to take */
};

/* Begins with max, until it is known better. */
static inline void quantum_init(struct quantum *q, uint32_t min, uint32_t max, uint32_t us)
{
    *q = (struct quantum){.sum = QUANTUM_MEMORY * max, .min = min, .max = max, .us = us};
}

static inline uint32_t quantum_now(const struct quantum *q)
{
    return q->sum / QUANTUM_MEMORY;
}

/* So much has been done, in so long a time. Less than min says little and does not count. */
static inline void quantum_learn(struct quantum *q, uint32_t done, uint64_t took_us)
{
    if (done < q->min)
        return;
    uint64_t right = took_us ? (uint64_t)done * q->us / took_us : q->max;
    if (right < q->min)
        right = q->min;
    if (right > q->max)
        right = q->max;
    q->sum += (uint32_t)right - q->sum / QUANTUM_MEMORY;
}

#endif
