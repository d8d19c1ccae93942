/* SPDX-License-Identifier: MIT */
#include "codec/h2_lib.h"

#include <stdio.h>
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

uint32_t h2_put_trailers(nghttp2_session *session, int32_t id, const struct fields *trailers,
                         unsigned without, struct arena *arena)
{
    size_t n = trailers ? h2_count_fields(trailers, without) : 0;
    if (!n)
        return NGHTTP2_DATA_FLAG_EOF;
    nghttp2_nv *nv = arena_alloc(arena, n * sizeof(*nv));
    h2_put_fields(nv, trailers, without);
    nghttp2_submit_trailer(session, id, nv, n);
    return NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

void h2_keep_data(struct chain *in, struct buf *hold, size_t *held, struct slice data)
{
    *held += data.n;
    if (hold && *held <= H2_REFER_MAX)
        chain_put(in, hold, data);
    else
        chain_copy(in, data);
}

void h2_keep_error(char error[H2_ERROR_MAX], const char *text, size_t n)
{
    if (!error[0])
        snprintf(error, H2_ERROR_MAX, "%.*s", (int)n, text);
}

nghttp2_option *h2_options_new(size_t acks_max)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o))
        abort();
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, H2_SEND_BLOCK_MAX);
    nghttp2_option_set_max_outbound_ack(o, acks_max);
    return o;
}
