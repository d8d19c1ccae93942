/* SPDX-License-Identifier: MIT */
#include "coding/coder.h"

#include <stdlib.h>

#include "base/mem.h"

static struct coder *take_spare(struct coder_pool *pool, const struct coding *coding)
{
    for (struct coder **at = &pool->spare; *at; at = &(*at)->next) {
        struct coder *coder = *at;
        if (coder->coding != coding)
            continue;
        *at = coder->next;
        pool->spare_bytes -= coding->max_bytes;
        return coder;
    }
    return NULL;
}

static void destroy(struct coder_pool *pool, struct coder *coder)
{
    pool->bytes -= coder->coding->max_bytes;
    coder->coding->destroy(coder->state);
    free(coder);
}

/* Spare ones of other codings make room. */
static bool make_room(struct coder_pool *pool, uint64_t bytes, uint64_t max_bytes)
{
    while (pool->spare && pool->bytes + bytes > max_bytes) {
        struct coder *coder = pool->spare;
        pool->spare = coder->next;
        pool->spare_bytes -= coder->coding->max_bytes;
        destroy(pool, coder);
    }
    return pool->bytes + bytes <= max_bytes;
}

static struct coder *create(struct coder_pool *pool, const struct coding *coding,
                            uint64_t max_bytes)
{
    if (!make_room(pool, coding->max_bytes, max_bytes))
        return NULL;
    struct coder *coder = mem_alloc(sizeof(*coder));
    *coder = (struct coder){.coding = coding, .state = coding->create()};
    pool->bytes += coding->max_bytes;
    return coder;
}

struct coder *coder_take(struct coder_pool *pool, const struct coding *coding, int level,
                         uint64_t max_bytes)
{
    struct coder *coder = take_spare(pool, coding);
    if (!coder)
        coder = create(pool, coding, max_bytes);
    if (!coder)
        return NULL;
    coder->holds_back = false;
    coding->begin(coder->state, level ? level : coding->level);
    return coder;
}

void coder_give(struct coder_pool *pool, struct coder *coder)
{
    if (pool->spare_bytes + coder->coding->max_bytes > CODER_SPARE_BYTES) {
        destroy(pool, coder);
        return;
    }
    pool->spare_bytes += coder->coding->max_bytes;
    coder->next = pool->spare;
    pool->spare = coder;
}

void coder_pool_fini(struct coder_pool *pool)
{
    make_room(pool, 0, 0);
}

static bool run(struct coder *coder, enum coding_op op, struct slice in, struct chain *out)
{
    enum coding_step step;
    do {
        struct buf *b = buf_take(out->pool, BUF_MEDIUM);
        size_t n = buf_room(b);
        step = coder->coding->encode(coder->state, op, &in, b->data, &n);
        b->used = (uint32_t)n;
        chain_put(out, b, slice_of(b->data, n));
        buf_unref(b);
    } while (step == CODING_FULL);
    return step == CODING_DONE;
}

bool coder_put(struct coder *coder, struct slice data, struct chain *out)
{
    if (!data.n)
        return true;
    coder->holds_back = true;
    return run(coder, CODING_RUN, data, out);
}

bool coder_flush(struct coder *coder, struct chain *out)
{
    if (!coder->holds_back)
        return true;
    coder->holds_back = false;
    return run(coder, CODING_FLUSH, SLICE_NONE, out);
}

bool coder_end(struct coder *coder, struct chain *out)
{
    return run(coder, CODING_END, SLICE_NONE, out);
}
