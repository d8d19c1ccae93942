/* Everything an exchange allocates: bump allocation, freed all at once. Blocks are bufs of the
 * worker's pool, so a steady state needs no malloc.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/buf.h"
#include "base/slice.h"

struct arena {
    struct buf_pool *pool;
    struct buf *blocks;     /* newest first */
    struct arena_big *bigs; /* allocations larger than a block */
};

void arena_init(struct arena *a, struct buf_pool *pool); /* takes no memory yet */
void arena_fini(struct arena *a);
/* n bytes aligned for any type, uninitialised, valid until arena_fini. Cannot fail: the caller has
 * checked n against its budget. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* A copy of s, followed by a NUL that does not count. */
struct slice arena_dup(struct arena *a, struct slice s);
/* Both, one behind the other. */
struct slice arena_join(struct arena *a, struct slice one, struct slice other);
struct slice arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

#endif
