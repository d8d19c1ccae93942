/* SPDX-License-Identifier: MIT */
#include "codec/h2_lib.h"

#include <stdlib.h>

#include "base/mem.h"

static void *hook_malloc(size_t n, void *ctx)
{
    (void)ctx;
    return mem_alloc(n);
}

static void hook_free(void *p, void *ctx)
{
    (void)ctx;
    free(p);
}

static void *hook_calloc(size_t count, size_t n, void *ctx)
{
    (void)ctx;
    return mem_zalloc(count * n);
}

static void *hook_realloc(void *p, size_t n, void *ctx)
{
    (void)ctx;
    return mem_grow(p, n, 1);
}

const nghttp2_mem h2_mem = {NULL, hook_malloc, hook_free, hook_calloc, hook_realloc};

static bool is_sent(const struct field *f, unsigned without)
{
    return !f->dropped && !(field_flags(f->id) & without);
}

size_t h2_count_fields(const struct fields *fields, unsigned without)
{
    size_t n = 0;
    for (unsigned i = 0; i < fields->n; i++)
        n += is_sent(&fields->v[i], without);
    return n;
}

nghttp2_nv *h2_put_fields(nghttp2_nv *nv, const struct fields *fields, unsigned without)
{
    for (unsigned i = 0; i < fields->n; i++)
        if (is_sent(&fields->v[i], without))
            *nv++ = h2_nv(fields->v[i].name, fields->v[i].value);
    return nv;
}
