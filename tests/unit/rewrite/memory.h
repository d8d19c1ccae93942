/* An arena for a test, and what it is made of.
 * SPDX-License-Identifier: MIT */
#ifndef REWRITE_MEMORY_H
#define REWRITE_MEMORY_H

#include "base/arena.h"

struct memory {
    struct buf_pool pool;
    struct arena arena;
};

static inline struct arena *memory_init(struct memory *m)
{
    buf_pool_init(&m->pool, 0);
    arena_init(&m->arena, &m->pool);
    return &m->arena;
}

static inline void memory_fini(struct memory *m)
{
    arena_fini(&m->arena);
    buf_pool_fini(&m->pool);
}

#define assert_slice(s, text)                                                                      \
    do {                                                                                           \
        struct slice s_ = (s);                                                                     \
        if (!slice_eq(s_, slice_str(text)))                                                        \
            fail_msg("'" SLICE_FMT "' is not '%s'", SLICE_ARG(s_), text);                          \
    } while (0)

#endif
