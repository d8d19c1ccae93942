/* What every fuzz target starts with. A property that does not hold ends the program.
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

#define HOLDS(property)                                                                            \
    do {                                                                                           \
        if (!(property)) {                                                                         \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An arena of its own for each input, so that a read beyond an allocation is seen. */
struct fuzz_arena {
    struct buf_pool pool;
    struct arena arena;
};

static inline struct arena *fuzz_arena_init(struct fuzz_arena *a)
{
    buf_pool_init(&a->pool, 0);
    arena_init(&a->arena, &a->pool);
    return &a->arena;
}

static inline void fuzz_arena_fini(struct fuzz_arena *a)
{
    arena_fini(&a->arena);
    buf_pool_fini(&a->pool);
}

/* Whether part lies within whole, or is nothing at all. */
static inline bool fuzz_lies_in(struct slice whole, struct slice part)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

#endif
