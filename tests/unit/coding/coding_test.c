/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/chain.h"
#include "coding/coder.h"

enum { TEXT_BYTES = 3000, LARGE_BYTES = 700 * 1000 };

/* ---- decoders: all that can be decoded of what is there; *ended: the stream is complete ---- */

struct decoded {
    char *p;
    size_t n;
    bool ended;
};

static struct decoded gunzip(struct slice in, size_t room)
{
    struct decoded d = {.p = malloc(room + 1)};
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    z.next_out = (unsigned char *)d.p;
    z.avail_out = (unsigned)room + 1;
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    int rc = inflate(&z, Z_SYNC_FLUSH);
    assert_true(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
    d.ended = rc == Z_STREAM_END && z.avail_in == 0;
    d.n = z.total_out;
    inflateEnd(&z);
    return d;
}

static struct decoded unbrotli(struct slice in, size_t room)
{
    struct decoded d = {.p = malloc(room + 1)};
    BrotliDecoderState *s = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    const uint8_t *next_in = (const uint8_t *)in.p;
    uint8_t *next_out = (uint8_t *)d.p;
    size_t left = in.n, space = room + 1;
    BrotliDecoderResult rc =
        BrotliDecoderDecompressStream(s, &left, &next_in, &space, &next_out, &d.n);
    assert_int_not_equal(rc, BROTLI_DECODER_RESULT_ERROR);
    d.ended = rc == BROTLI_DECODER_RESULT_SUCCESS && left == 0;
    BrotliDecoderDestroyInstance(s);
    return d;
}

static struct decoded unzstd(struct slice in, size_t room)
{
    struct decoded d = {.p = malloc(room + 1)};
    ZSTD_DCtx *z = ZSTD_createDCtx();
    ZSTD_inBuffer input = {in.p, in.n, 0};
    ZSTD_outBuffer output = {d.p, room + 1, 0};
    size_t rc = 1, before;
    do {
        before = input.pos + output.pos;
        rc = ZSTD_decompressStream(z, &output, &input);
        assert_false(ZSTD_isError(rc));
    } while (rc && input.pos + output.pos > before);
    d.n = output.pos;
    d.ended = rc == 0 && input.pos == input.size;
    ZSTD_freeDCtx(z);
    return d;
}

static struct decoded decode(const struct coding *coding, struct slice in, size_t room)
{
    if (slice_eq(coding->name, SLICE("gzip")))
        return gunzip(in, room);
    return slice_eq(coding->name, SLICE("br")) ? unbrotli(in, room) : unzstd(in, room);
}

/* ---- fixtures ---- */

struct fixture {
    struct buf_pool bufs;
    struct chain out;
    struct coder_pool coders;
    char *text; /* LARGE_BYTES */
};

static int setup(void **state)
{
    static const char words[][12] = {"sluice ", "pool ", "chain ",  "\n",
                                     "<p>",     "weir ", "backend "};
    struct fixture *f = calloc(1, sizeof(*f));
    uint32_t random = 7;
    buf_pool_init(&f->bufs, 1 << 20);
    chain_init(&f->out, &f->bufs, 65536);
    f->text = malloc(LARGE_BYTES + 8);
    for (size_t n = 0; n < LARGE_BYTES;) {
        random = random * 1664525u + 1013904223u;
        const char *word = words[(random >> 16) % 7];
        memcpy(f->text + n, word, strlen(word));
        n += strlen(word);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    coder_pool_fini(&f->coders);
    assert_int_equal(f->coders.bytes, 0);
    chain_clear(&f->out);
    chain_pool_trim(&f->bufs);
    buf_pool_fini(&f->bufs);
    free(f->text);
    free(f);
    return 0;
}

static struct slice joined(const struct chain *c)
{
    char *p = malloc(c->bytes + 1), *end = p;
    chain_each (l, c)
        end = slice_put(end, slice_of(l->p, l->n));
    return slice_of(p, c->bytes);
}

static void expect(struct fixture *f, const struct coding *coding, size_t n, bool ended)
{
    struct slice in = joined(&f->out);
    struct decoded d = decode(coding, in, n);
    assert_int_equal(d.n, n);
    assert_int_equal(d.ended, ended);
    if (n)
        assert_memory_equal(d.p, f->text, n);
    free(d.p);
    free((char *)(uintptr_t)in.p);
}

static struct coder *take(struct fixture *f, const struct coding *coding, int level)
{
    struct coder *coder = coder_take(&f->coders, coding, level, 64 << 20);
    assert_non_null(coder);
    return coder;
}

/* ---- tests ---- */

static void encode_in_pieces(struct fixture *f, const struct coding *coding, size_t n, size_t piece,
                             int level)
{
    struct coder *coder = take(f, coding, level);
    for (size_t at = 0; at < n; at += piece)
        assert_true(
            coder_put(coder, slice_of(f->text + at, n - at < piece ? n - at : piece), &f->out));
    assert_true(coder_end(coder, &f->out));
    expect(f, coding, n, true);
    coder_give(&f->coders, coder);
    chain_clear(&f->out);
}

static void test_what_is_fed_in_pieces_of_any_size_comes_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; coding_at(i); i++)
        for (size_t piece = 1; piece <= 200; piece++)
            encode_in_pieces(f, coding_at(i), TEXT_BYTES, piece, 0);
}

static void test_split_at_every_byte_it_comes_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; coding_at(i); i++)
        for (size_t at = 1; at < 300; at++)
            encode_in_pieces(f, coding_at(i), 300, at, 1);
}

static void test_large_bodies_come_back_at_every_level(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; coding_at(i); i++)
        for (int level = 1; level <= CODING_LEVEL_MAX; level += 4)
            encode_in_pieces(f, coding_at(i), LARGE_BYTES, 32768, level);
}

static void test_an_empty_body_is_a_complete_stream(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; coding_at(i); i++)
        encode_in_pieces(f, coding_at(i), 0, 1, 0);
}

static void test_after_a_flush_all_that_went_in_can_be_read(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {1, 7, 100, 5000, 70000};
    for (unsigned i = 0; coding_at(i); i++) {
        struct coder *coder = take(f, coding_at(i), 0);
        size_t n = 0;
        for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
            assert_true(coder_put(coder, slice_of(f->text + n, pieces[j]), &f->out));
            assert_true(coder_flush(coder, &f->out));
            n += pieces[j];
            expect(f, coding_at(i), n, false);
        }
        size_t before = f->out.bytes;
        assert_true(coder_flush(coder, &f->out));
        assert_int_equal(f->out.bytes, before); /* nothing is held back, nothing comes */
        assert_true(coder_end(coder, &f->out));
        expect(f, coding_at(i), n, true);
        coder_give(&f->coders, coder);
        chain_clear(&f->out);
    }
}

static void test_a_stream_left_in_its_middle_does_not_show_in_the_next(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; coding_at(i); i++) {
        struct coder *coder = take(f, coding_at(i), 9);
        assert_true(coder_put(coder, slice_of(f->text, 200000), &f->out));
        coder_give(&f->coders, coder);
        chain_clear(&f->out);
        encode_in_pieces(f, coding_at(i), TEXT_BYTES, 999, 3);
    }
}

static void test_memory_has_a_bound_and_spare_states_make_room(void **state)
{
    struct fixture *f = *state;
    const struct coding *gzip = coding_find(SLICE("gzip")), *br = coding_find(SLICE("br"));
    uint64_t max = br->max_bytes + gzip->max_bytes;
    struct coder *a = coder_take(&f->coders, gzip, 0, max);
    struct coder *b = coder_take(&f->coders, gzip, 0, max);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(coder_take(&f->coders, br, 0, max));
    coder_give(&f->coders, b);
    struct coder *c = coder_take(&f->coders, br, 0, max);
    assert_non_null(c);
    assert_null(coder_take(&f->coders, gzip, 0, max));
    coder_give(&f->coders, a);
    coder_give(&f->coders, c);
    assert_int_equal(f->coders.bytes, max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_fed_in_pieces_of_any_size_comes_back),
        cmocka_unit_test(test_split_at_every_byte_it_comes_back),
        cmocka_unit_test(test_large_bodies_come_back_at_every_level),
        cmocka_unit_test(test_an_empty_body_is_a_complete_stream),
        cmocka_unit_test(test_after_a_flush_all_that_went_in_can_be_read),
        cmocka_unit_test(test_a_stream_left_in_its_middle_does_not_show_in_the_next),
        cmocka_unit_test(test_memory_has_a_bound_and_spare_states_make_room),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
