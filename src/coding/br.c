/* Brotli (RFC 7932), by libbrotlienc. The library cannot begin anew in the memory that it has, so
 * what it gives back is kept here for the next stream, which asks for the same sizes.
 * SPDX-License-Identifier: MIT */
#include <assert.h>
#include <brotli/encode.h>
#include <stdlib.h>

#include "base/mem.h"
#include "coding/coding.h"

extern const struct coding br_coding;

enum { WINDOW_BITS = 16, SPARE_MAX = 32, SPARE_MIN_BYTES = 4096 };

struct block {
    _Alignas(max_align_t) size_t bytes;
    struct block *next; /* while it is spare */
    _Alignas(max_align_t) char data[];
};

struct br_state {
    BrotliEncoderState *encoder; /* NULL: no stream was begun yet */
    struct block *spare;
    unsigned spare_count;
};

static struct block *take_spare(struct br_state *s, size_t bytes)
{
    for (struct block **at = &s->spare; *at; at = &(*at)->next) {
        struct block *b = *at;
        if (b->bytes != bytes)
            continue;
        *at = b->next;
        s->spare_count--;
        return b;
    }
    return NULL;
}

static void *br_alloc(void *ctx, size_t bytes)
{
    struct block *b = take_spare(ctx, bytes);
    if (!b)
        b = mem_alloc(sizeof(*b) + bytes);
    b->bytes = bytes;
    return b->data;
}

static void br_release(void *ctx, void *p)
{
    struct br_state *s = ctx;
    if (!p)
        return;
    struct block *b = (struct block *)((char *)p - offsetof(struct block, data));
    if (b->bytes < SPARE_MIN_BYTES || s->spare_count >= SPARE_MAX) {
        free(b);
        return;
    }
    b->next = s->spare;
    s->spare = b;
    s->spare_count++;
}

static void *br_create(void)
{
    return mem_zalloc(sizeof(struct br_state));
}

static void br_begin(void *state, int level)
{
    struct br_state *s = state;
    if (s->encoder)
        BrotliEncoderDestroyInstance(s->encoder);
    s->encoder = BrotliEncoderCreateInstance(br_alloc, br_release, s);
    assert(s->encoder);
    BrotliEncoderSetParameter(s->encoder, BROTLI_PARAM_QUALITY, (uint32_t)level);
    BrotliEncoderSetParameter(s->encoder, BROTLI_PARAM_LGWIN, WINDOW_BITS);
}

static enum coding_step br_encode(void *state, enum coding_op op, struct slice *in, char *p,
                                  size_t *n)
{
    static const BrotliEncoderOperation operation[] = {[CODING_RUN] = BROTLI_OPERATION_PROCESS,
                                                       [CODING_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                       [CODING_END] = BROTLI_OPERATION_FINISH};
    struct br_state *s = state;
    size_t given = in->n, room = *n;
    const uint8_t *next_in = (const uint8_t *)in->p;
    uint8_t *next_out = (uint8_t *)p;
    bool ok = BrotliEncoderCompressStream(s->encoder, operation[op], &given, &next_in, &room,
                                          &next_out, NULL);
    *in = slice_skip(*in, in->n - given);
    *n -= room;
    if (!ok)
        return CODING_BAD;
    return in->n || BrotliEncoderHasMoreOutput(s->encoder) ? CODING_FULL : CODING_DONE;
}

static void br_destroy(void *state)
{
    struct br_state *s = state;
    if (s->encoder)
        BrotliEncoderDestroyInstance(s->encoder);
    for (struct block *b = s->spare, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(s);
}

const struct coding br_coding = {
    .name = SLICE_INIT("br"),
    .level = 5,
    .max_bytes = 2816 * 1024,
    .create = br_create,
    .begin = br_begin,
    .encode = br_encode,
    .destroy = br_destroy,
};
