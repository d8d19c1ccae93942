/* How long a process that has died is kept from starting again: from one start to the next, longer
 * each time, until one has lived for long. One that had come to serve is never kept away for long:
 * whoever can make it die could keep all others from being served.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_PAUSE_H
#define PROC_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PAUSE_MIN_MS = 500,
    PAUSE_MAX_MS = 30000,
    PAUSE_SERVED_MAX_MS = 1000,
    PAUSE_HEALTHY_MS = 10000, /* for long */
};

/* pause_ms: the one before this start; 0: none. lived_ms: since the start. */
static inline int64_t pause_next_ms(int64_t pause_ms, int64_t lived_ms, bool has_served)
{
    int64_t most_ms = has_served ? PAUSE_SERVED_MAX_MS : PAUSE_MAX_MS;
    if (pause_ms == 0 || lived_ms >= PAUSE_HEALTHY_MS)
        return PAUSE_MIN_MS;
    return pause_ms * 2 < most_ms ? pause_ms * 2 : most_ms;
}

#endif
