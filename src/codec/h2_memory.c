/* SPDX-License-Identifier: MIT */
#include "codec/h2_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { FRAME_BYTES = 16384 }; /* RFC 9113 4.2: what a payload may have unless more is allowed */

static void *hook_malloc(size_t n, void *ctx)
{
    (void)ctx;
    return mem_alloc(n);
}

static void hook_free(void *p, void *ctx)
{
    const struct h2_memory *m = ctx;
    if (p != m->frame)
        free(p);
}

static void *hook_calloc(size_t count, size_t n, void *ctx)
{
    (void)ctx;
    return mem_zalloc(count * n);
}

/* The only buffer for a whole frame that is there from the beginning. */
static bool is_frame_buffer(const struct h2_memory *m, const void *p, size_t n)
{
    return m->is_making && !p && !m->frame && n >= FRAME_BYTES && n <= BUF_SCRATCH;
}

static void *hook_realloc(void *p, size_t n, void *ctx)
{
    struct h2_memory *m = ctx;
    if (is_frame_buffer(m, p, n))
        return m->frame = buf_scratch(m->bufs);
    if (!p || p != m->frame)
        return mem_grow(p, n, 1);
    char *own = mem_alloc(n);
    memcpy(own, p, n < BUF_SCRATCH ? n : BUF_SCRATCH);
    m->frame = NULL;
    return own;
}

nghttp2_mem h2_memory_of(struct h2_memory *m)
{
    return (nghttp2_mem){m, hook_malloc, hook_free, hook_calloc, hook_realloc};
}
