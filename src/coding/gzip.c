/* gzip (RFC 1952), by zlib.
 * SPDX-License-Identifier: MIT */
#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "coding/coding.h"

extern const struct coding gzip_coding;

enum { WINDOW_BITS = 15, GZIP_FORMAT = 16, MEM_LEVEL = 8 };

static void *gzip_alloc(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return mem_grow(NULL, count, size);
}

static void gzip_release(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static void *gzip_create(void)
{
    z_stream *z = mem_zalloc(sizeof(*z));
    z->zalloc = gzip_alloc;
    z->zfree = gzip_release;
    int rc = deflateInit2(z, gzip_coding.level, Z_DEFLATED, WINDOW_BITS + GZIP_FORMAT, MEM_LEVEL,
                          Z_DEFAULT_STRATEGY);
    assert(rc == Z_OK);
    (void)rc;
    return z;
}

static void gzip_begin(void *state, int level)
{
    z_stream *z = state;
    z->next_in = NULL;
    z->avail_in = 0;
    int rc = deflateReset(z);
    assert(rc == Z_OK);
    rc = deflateParams(z, level, Z_DEFAULT_STRATEGY); /* writes nothing: nothing has come in */
    assert(rc == Z_OK);
    (void)rc;
}

static enum coding_step gzip_encode(void *state, enum coding_op op, struct slice *in, char *p,
                                    size_t *n)
{
    static const int flush[] = {
        [CODING_RUN] = Z_NO_FLUSH, [CODING_FLUSH] = Z_SYNC_FLUSH, [CODING_END] = Z_FINISH};
    z_stream *z = state;
    unsigned room = *n < UINT_MAX ? (unsigned)*n : UINT_MAX;
    unsigned given = in->n < UINT_MAX ? (unsigned)in->n : UINT_MAX;
    z->next_in = (unsigned char *)(uintptr_t)in->p;
    z->avail_in = given;
    z->next_out = (unsigned char *)p;
    z->avail_out = room;
    int rc = deflate(z, flush[op]);
    *in = slice_skip(*in, given - z->avail_in);
    *n = room - z->avail_out;
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return CODING_BAD;
    bool is_over = op == CODING_END ? rc == Z_STREAM_END : z->avail_out != 0 && !in->n;
    return is_over ? CODING_DONE : CODING_FULL;
}

static void gzip_destroy(void *state)
{
    deflateEnd(state);
    free(state);
}

const struct coding gzip_coding = {
    .name = SLICE_INIT("gzip"),
    .level = 5,
    .max_bytes = 272 * 1024,
    .create = gzip_create,
    .begin = gzip_begin,
    .encode = gzip_encode,
    .destroy = gzip_destroy,
};
