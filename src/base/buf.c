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

static struct buf *take_free(struct buf_pool *pool, uint32_t class)
{
    struct buf_class *c = &pool->classes[class];
    struct buf *b = c->free;
    if (!b)
        return NULL;
    c->free = b->next;
    if (--c->kept < c->least)
        c->least = c->kept;
    pool->kept_bytes -= b->cap;
    return b;
}

void buf_pool_trim(struct buf_pool *pool, size_t keep)
{
    for (uint32_t class = BUF_CLASSES; class -- > 0;)
        while (pool->kept_bytes > keep && pool->classes[class].free)
            free(take_free(pool, class));
}

size_t buf_pool_give_back(struct buf_pool *pool)
{
    for (uint32_t class = BUF_CLASSES; class -- > 0;) {
        uint32_t least = pool->classes[class].least;
        if (least) {
            free(take_free(pool, class));
            pool->classes[class].least = least - 1;
            return class_caps[class];
        }
    }
    return 0;
}

void buf_pool_look(struct buf_pool *pool)
{
    for (uint32_t class = 0; class < BUF_CLASSES; class ++)
        pool->classes[class].least = pool->classes[class].kept;
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

    struct buf *b = take_free(pool, class);
    if (!b) {
        b = mem_alloc(sizeof(*b) + class_caps[class]);
        b->pool = pool;
        b->cap = class_caps[class];
        b->class = class & 0xf;
        b->warm = 0;
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
    struct buf_class *c = &pool->classes[b->class];
    b->warm = buf_warm(b) & 0xfffffff;
    b->next = c->free;
    c->free = b;
    c->kept++;
    pool->kept_bytes += b->cap;
}
