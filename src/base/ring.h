/* The last few thousand things a worker did, in memory: fixed-size records, no formatting, a few
 * nanoseconds each. Dumped on demand, and by a crash handler: ring_dump() is async-signal-safe.
 *
 * One thread writes. Names are string literals: only their address is kept.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct ring_record {
    uint64_t time_us;  /* monotonic */
    uint64_t id;       /* exchange, 0: none */
    const char *event; /* a literal: "connect", "slot free" */
    uint64_t a, b;     /* whatever helps: bytes, status, -errno, descriptor */
};

struct ring {
    struct ring_record *records;
    uint64_t next; /* records ever written */
    uint64_t mask;
};

void ring_init(struct ring *r, uint32_t count); /* count: a power of two */
void ring_fini(struct ring *r);

static inline void ring_put(struct ring *r, uint64_t time_us, uint64_t id, const char *event,
                            uint64_t a, uint64_t b)
{
    r->records[r->next++ & r->mask] = (struct ring_record){time_us, id, event, a, b};
}

/* Gives one line after the other, oldest first, to write; s is valid during the call. */
typedef void ring_write_fn(void *ctx, struct slice s);
/* id: only records of this exchange; 0: all. */
void ring_dump(const struct ring *r, uint64_t id, ring_write_fn *write, void *ctx);

#endif
