/* Owned bytes of a fixed capacity, and the pool they come from.
 *
 * A buf is counted because one read may hold a response head, several chunks and the start of the
 * next message: each piece travels in a chain of its own and the memory returns when the last one
 * has been sent. The count is not atomic: a pool belongs to one worker, and so do its bufs.
 *
 * Capacities come in five classes. Returned bufs are kept for the next taker, up to the pool's
 * budget; beyond it they go back to malloc, so that memory falls after a burst.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    BUF_TINY = 1024,
    BUF_SMALL = 4096,
    BUF_MEDIUM = 16384,
    BUF_LARGE = 68 * 1024,
    BUF_HUGE = 1024 * 1024
};
enum { BUF_CLASSES = 5, BUF_SCRATCH = BUF_MEDIUM + 1024 };

struct buf_pool;

struct buf {
    struct buf_pool *pool;
    struct buf *next; /* while in the pool, or in an arena */
    uint32_t refs;
    uint32_t cap;  /* bytes at data */
    uint32_t used; /* bytes filled; everything behind is free for the sole owner */
    uint32_t class : 4;
    uint32_t warm : 28; /* bytes that earlier takers have filled at most, see buf_warm() */
    char data[];
};

/* The bufs of one size. */
struct buf_class {
    struct buf *free;
    uint32_t kept, least; /* how many are free, and were at least since buf_pool_look() */
};

struct buf_pool {
    struct buf_class classes[BUF_CLASSES];
    struct link *free_links; /* spare chain links, see chain.h */
    size_t kept_bytes;       /* in the free lists */
    size_t keep_max;         /* budget for kept_bytes */
    size_t live_bytes;       /* handed out */
    uint32_t huge_live;      /* of BUF_HUGE, handed out */
    char *scratch;           /* see buf_scratch(); NULL: nobody has asked */
};

void buf_pool_init(struct buf_pool *pool, size_t keep_max);
/* Every buf must have come back. */
void buf_pool_fini(struct buf_pool *pool);
/* Gives kept memory back to malloc until at most keep bytes are kept. */
void buf_pool_trim(struct buf_pool *pool, size_t keep);
/* Gives one buf back, of those that nobody has wanted since buf_pool_look(): its bytes, or 0 if
 * there is none. */
size_t buf_pool_give_back(struct buf_pool *pool);
void buf_pool_look(struct buf_pool *pool);

/* Those of BUF_HUGE are for a few at a time: whoever takes one asks before. */
enum { BUF_HUGE_MAX = 16 };
static inline bool buf_may_be_huge(const struct buf_pool *pool)
{
    return pool->huge_live < BUF_HUGE_MAX;
}

/* BUF_SCRATCH bytes that belong to whoever is at work, until he returns to the loop: there is one
 * piece of them, and the next finds it as he left it. */
char *buf_scratch(struct buf_pool *pool) __attribute__((returns_nonnull));

/* A buf of at least min bytes (at most BUF_HUGE), used = 0, one reference, owned by the caller. */
struct buf *buf_take(struct buf_pool *pool, size_t min);
void buf_free_(struct buf *b);

static inline struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}

static inline void buf_unref(struct buf *b)
{
    if (--b->refs == 0)
        buf_free_(b);
}

static inline size_t buf_room(const struct buf *b)
{
    return b->cap - b->used;
}

/* How many bytes at its beginning have been written before: behind them the kernel has yet to give
 * it pages, one at a time, which takes longer than to fill them. */
static inline size_t buf_warm(const struct buf *b)
{
    return b->used > b->warm ? b->used : b->warm;
}

static inline char *buf_end(struct buf *b)
{
    return b->data + b->used;
}

#endif
