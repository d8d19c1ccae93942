/* Zstandard (RFC 8878), by libzstd. The window stays far below the 8 MB that a decoder must have
 * room for (RFC 9659): what a web page repeats is near, and a state has to be small.
 * SPDX-License-Identifier: MIT */
#include <assert.h>
#include <zstd.h>

#include "coding/coding.h"

extern const struct coding zstd_coding;

enum { WINDOW_LOG = 17, TABLE_LOG = 16 };

static void *create_state(void)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    assert(z);
    return z;
}

static void begin_stream(void *state, int level)
{
    ZSTD_CCtx_reset(state, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(state, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(state, ZSTD_c_windowLog, WINDOW_LOG);
    ZSTD_CCtx_setParameter(state, ZSTD_c_hashLog, TABLE_LOG);
    ZSTD_CCtx_setParameter(state, ZSTD_c_chainLog, TABLE_LOG);
}

static enum coding_step encode_some(void *state, enum coding_op op, struct slice *in, char *p,
                                    size_t *n)
{
    static const ZSTD_EndDirective direction[] = {
        [CODING_RUN] = ZSTD_e_continue, [CODING_FLUSH] = ZSTD_e_flush, [CODING_END] = ZSTD_e_end};
    ZSTD_inBuffer input = {.src = in->p, .size = in->n};
    ZSTD_outBuffer output = {.dst = p, .size = *n};
    size_t left = ZSTD_compressStream2(state, &output, &input, direction[op]);
    *in = slice_skip(*in, input.pos);
    *n = output.pos;
    if (ZSTD_isError(left))
        return CODING_BAD;
    return in->n || (op != CODING_RUN && left) ? CODING_FULL : CODING_DONE;
}

static void destroy_state(void *state)
{
    ZSTD_freeCCtx(state);
}

const struct coding zstd_coding = {
    .name = SLICE_INIT("zstd"),
    .level = 5,
    .max_bytes = 1408 * 1024,
    .create = create_state,
    .begin = begin_stream,
    .encode = encode_some,
    .destroy = destroy_state,
};
