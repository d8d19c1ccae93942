/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

#include "base/chain.h"
#include "base/mem.h"

static const uint32_t class_caps[BUF_CLASSES] = {BUF_TINY, BUF_SMALL, BUF_MEDIUM, BUF_LARGE,
                                                 BUF_HUGE};

void buf_pool_init(struct buf_pool *pool, size_t keep_max)
{
    *pool = (struct buf_pool){.keep_max = keep_max};
}

void buf_pool_trim(struct buf_pool *pool, size_t keep)
{
    for (int class = BUF_CLASSES - 1; class >= 0; class --) {
        while (pool->kept_bytes > keep && pool->free[class]) {
            struct buf *b = pool->free[class];
            pool->free[class] = b->next;
            pool->kept_bytes -= b->cap;
            free(b);
        }
    }
}

void buf_pool_fini(struct buf_pool *pool)
{
    assert(pool->live_bytes == 0);
    buf_pool_trim(pool, 0);
    chain_pool_trim(pool);
    free(pool->scratch);
}

char *buf_scratch(struct buf_pool *pool)
{
    if (!pool->scratch)
        pool->scratch = mem_alloc(BUF_SCRATCH);
    return pool->scratch;
}

struct buf *buf_take(struct buf_pool *pool, size_t min)
{
    assert(min <= BUF_HUGE);
    uint32_t class = 0;
    while (class_caps[class] < min)
        class ++;

    struct buf *b = pool->free[class];
    if (b) {
        pool->free[class] = b->next;
        pool->kept_bytes -= b->cap;
    } else {
        b = mem_alloc(sizeof(*b) + class_caps[class]);
        b->pool = pool;
        b->cap = class_caps[class];
        b->class = class;
    }
    b->next = NULL;
    b->refs = 1;
    b->used = 0;
    pool->live_bytes += b->cap;
    pool->huge_live += b->cap == BUF_HUGE;
    return b;
}

void buf_free_(struct buf *b)
{
    struct buf_pool *pool = b->pool;
    pool->live_bytes -= b->cap;
    pool->huge_live -= b->cap == BUF_HUGE;
    if (pool->kept_bytes + b->cap > pool->keep_max) {
        free(b);
        return;
    }
    b->next = pool->free[b->class];
    pool->free[b->class] = b;
    pool->kept_bytes += b->cap;
}
