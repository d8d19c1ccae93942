/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/chunked.h"

static const struct head_limits limits = {.head_bytes = 256, .target_bytes = 256, .fields = 8};
static const struct slice message =
    SLICE_INIT("5\r\nhello\r\n1;x=\"y\"\r\n \r\n006\r\nworld!\r\n0\r\nX: a\r\n\r\nNEXT");

/* What comes out when the first `cut` bytes arrive before the rest. */
struct outcome {
    enum parse parse;
    char body[64];
    size_t body_n;
    struct slice trailers, rest;
};

static void feed(struct chunked *c, struct outcome *o, struct fault *f)
{
    struct slice data;
    do {
        o->parse = chunked_feed(c, &o->rest, &data, &o->trailers, &limits, f);
        memcpy(o->body + o->body_n, data.p ? data.p : "", data.n);
        o->body_n += data.n;
    } while (o->parse == PARSE_MORE && data.n > 0);
}

static struct outcome outcome_of(struct slice bytes, size_t cut)
{
    struct chunked c;
    struct fault f;
    struct outcome o = {.rest = slice_first(bytes, cut)};
    chunked_init(&c);
    feed(&c, &o, &f);
    if (o.parse == PARSE_MORE) {
        o.rest.n += bytes.n - cut;
        feed(&c, &o, &f);
    }
    return o;
}

static void test_a_body_comes_out_whole_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= message.n; cut++) {
        struct outcome o = outcome_of(message, cut);
        assert_int_equal(o.parse, PARSE_DONE);
        assert_true(slice_eq(slice_of(o.body, o.body_n), SLICE("hello world!")));
        assert_true(slice_eq(o.trailers, SLICE("X: a\r\n\r\n")));
        assert_true(slice_starts(SLICE("NEXT"), o.rest));
    }
}

static void test_a_body_without_trailers_has_an_empty_section(void **state)
{
    (void)state;
    struct outcome o = outcome_of(SLICE("0\r\n\r\nX"), 0);
    assert_int_equal(o.parse, PARSE_DONE);
    assert_int_equal(o.trailers.n, 2);
    assert_int_equal(o.rest.n, 1);
}

static void test_a_finished_body_stays_finished(void **state)
{
    (void)state;
    struct chunked c;
    struct fault f;
    struct slice in = SLICE("0\r\n\r\nX"), data, trailers;
    chunked_init(&c);
    assert_int_equal(chunked_feed(&c, &in, &data, &trailers, &limits, &f), PARSE_DONE);
    assert_int_equal(chunked_feed(&c, &in, &data, &trailers, &limits, &f), PARSE_DONE);
    assert_int_equal(in.n, 1);
    assert_int_equal(c.state, CHUNKED_DONE);
}

/* RFC 9112 7.1.1: a limit for all chunk extensions of a body */
static void test_extensions_are_limited_for_the_whole_body(void **state)
{
    (void)state;
    static char line[1024 + 8];
    struct chunked c;
    struct fault f;
    enum parse found = PARSE_MORE;
    size_t n = 0;
    line[n++] = '1';
    line[n++] = ';';
    memset(line + n, 'x', 1024);
    n += 1024;
    memcpy(line + n, "\r\na\r\n", 5);
    n += 5;
    chunked_init(&c);
    unsigned lines = 0;
    for (; found == PARSE_MORE && lines < 100; lines++) {
        struct slice in = slice_of(line, n), data = SLICE_NONE, trailers;
        do {
            found = chunked_feed(&c, &in, &data, &trailers, &limits, &f);
        } while (found == PARSE_MORE && in.n > 0);
    }
    assert_int_equal(found, PARSE_BAD);
    assert_int_equal(f.status, 400);
    assert_int_equal(lines, 16);
}

static void test_lines_are_written_in_hexadecimal(void **state)
{
    (void)state;
    char line[CHUNKED_LINE_MAX];
    assert_int_equal(chunked_put_line(line, 500), 5);
    assert_memory_equal(line, "1f4\r\n", 5);
    assert_int_equal(chunked_put_line(line, UINT64_MAX), CHUNKED_LINE_MAX);
    assert_memory_equal(line, "ffffffffffffffff\r\n", CHUNKED_LINE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_comes_out_whole_however_it_is_cut),
        cmocka_unit_test(test_a_body_without_trailers_has_an_empty_section),
        cmocka_unit_test(test_a_finished_body_stays_finished),
        cmocka_unit_test(test_extensions_are_limited_for_the_whole_body),
        cmocka_unit_test(test_lines_are_written_in_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
