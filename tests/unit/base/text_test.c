/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

#include <stdio.h>
#include <time.h>

static void test_nothing_is_written_behind_the_end(void **state)
{
    (void)state;
    for (size_t room = 0; room < 40; room++) {
        char out[64];
        memset(out, '#', sizeof(out));
        struct text t = text_of(out, room);
        text_lit(&t, "abc");
        text_dec(&t, 12345);
        text_char(&t, '.');
        text_quoted(&t, SLICE("\x01\"x"), 20);
        text_html(&t, SLICE("<&>"));
        text_time(&t, 0);
        assert_true(t.p <= t.end);
        for (size_t i = room; i < sizeof(out); i++)
            assert_int_equal(out[i], '#');
    }
}

static void test_numbers_and_ids_have_their_width(void **state)
{
    (void)state;
    char out[64];
    struct text t = text_of(out, sizeof(out));
    text_padded(&t, 7, 3);
    text_char(&t, ' ');
    text_padded(&t, 12345, 3);
    text_char(&t, ' ');
    text_id(&t, 0xc0ffee);
    assert_true(slice_eq(text_slice(&t), SLICE("007 12345 0000000000c0ffee")));
}

/* Against the C library, over leap years, century years and the ends of days. */
static void test_times_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t s = 0; s < 8000000000; s += 86400 * 3 + 12345) {
        time_t at = (time_t)s;
        struct tm tm;
        gmtime_r(&at, &tm);
        char out[64], expected[64];
        struct text t = text_of(out, sizeof(out));
        text_time(&t, s * 1000000 + 987654);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.987Z", &tm);
        assert_true(slice_eq(text_slice(&t), slice_str(expected)));
        t = text_of(out, sizeof(out));
        text_clf_time(&t, s * 1000000);
        strftime(expected, sizeof(expected), "%d/%b/%Y:%H:%M:%S +0000", &tm);
        assert_true(slice_eq(text_slice(&t), slice_str(expected)));
    }
    char out[64];
    struct text t = text_of(out, sizeof(out));
    text_time(&t, 951782399999999); /* the last microsecond of 28 February 2000 */
    text_time(&t, 951782400000000);
    assert_true(
        slice_eq(text_slice(&t), SLICE("2000-02-28T23:59:59.999Z2000-02-29T00:00:00.000Z")));
}

static const struct {
    struct slice in;
    const char *json, *quoted;
} escapes[] = {
    {SLICE_INIT(""), "", ""},
    {SLICE_INIT("plain /path?a=b"), "plain /path?a=b", "plain /path?a=b"},
    {SLICE_INIT("a\"b\\c"), "a\\\"b\\\\c", "a\\\"b\\\\c"},
    {SLICE_INIT("0123456\"9abcdefg\\"), "0123456\\\"9abcdefg\\\\", "0123456\\\"9abcdefg\\\\"},
    {SLICE_INIT("\r\n\t\0\x7f"), "\\u000d\\u000a\\u0009\\u0000\\u007f",
     "\\x0d\\x0a\\x09\\x00\\x7f"},
    {SLICE_INIT("\x1b[31m"), "\\u001b[31m", "\\x1b[31m"},
    {SLICE_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {SLICE_INIT("\xff"), "\\u00ff", "\\xff"},
    {SLICE_INIT("\xc3"), "\\u00c3", "\\xc3"},                                 /* cut off */
    {SLICE_INIT("\xc0\xaf"), "\\u00c0\\u00af", "\\xc0\\xaf"},                 /* overlong */
    {SLICE_INIT("\xe0\x80\xaf"), "\\u00e0\\u0080\\u00af", "\\xe0\\x80\\xaf"}, /* overlong */
    {SLICE_INIT("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080", "\\xed\\xa0\\x80"}, /* surrogate */
    {SLICE_INIT("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080",
     "\\xf4\\x90\\x80\\x80"},                                 /* past U+10FFFF */
    {SLICE_INIT("\xc2\x9b"), "\\u00c2\\u009b", "\\xc2\\x9b"}, /* a terminal's CSI */
    {SLICE_INIT("\xc2\xa0"), "\xc2\xa0", "\xc2\xa0"},
};

static void test_escapes_leave_nothing_that_could_break_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        char out[256];
        struct text t = text_of(out, sizeof(out));
        text_json(&t, escapes[i].in, sizeof(out));
        assert_true(slice_eq(text_slice(&t), slice_str(escapes[i].json)));
        t = text_of(out, sizeof(out));
        text_quoted(&t, escapes[i].in, sizeof(out));
        assert_true(slice_eq(text_slice(&t), slice_str(escapes[i].quoted)));
    }
}

/* Each byte at each place in a word of eight: the fast way and the slow way must agree. */
static void test_every_byte_at_every_place(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t place = 0; place < 17; place++) {
            char in[17], out[64], expected[64];
            memset(in, 'a', sizeof(in));
            in[place] = (char)c;
            bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
            char form[8];
            if (plain)
                snprintf(form, sizeof(form), "%c", c);
            else if (c == '"' || c == '\\')
                snprintf(form, sizeof(form), "\\%c", c);
            else
                snprintf(form, sizeof(form), "\\x%02x", (unsigned)c);
            snprintf(expected, sizeof(expected), "%.*s%s%.*s", (int)place, "aaaaaaaaaaaaaaaaa",
                     form, (int)(16 - place), "aaaaaaaaaaaaaaaaa");
            struct text t = text_of(out, sizeof(out));
            text_quoted(&t, slice_of(in, sizeof(in)), sizeof(out));
            assert_true(slice_eq(text_slice(&t), slice_str(expected)));
        }
    }
}

static void test_a_cut_never_splits_a_character(void **state)
{
    (void)state;
    struct slice in = SLICE("ab\xe2\x82\xac\"\x01z");
    static const char *const cuts[] = {
        "", "a", "ab", "ab", "ab", "ab\xe2\x82\xac", "ab\xe2\x82\xac", "ab\xe2\x82\xac\\\"",
    };
    for (size_t max = 0; max < sizeof(cuts) / sizeof(cuts[0]); max++) {
        char out[64];
        struct text t = text_of(out, sizeof(out));
        text_json(&t, in, max);
        assert_true(slice_eq(text_slice(&t), slice_str(cuts[max])));
        t = text_of(out, max);
        text_json(&t, in, 64);
        assert_true(slice_eq(text_slice(&t), slice_str(cuts[max])));
    }
}

static void test_html_is_escaped(void **state)
{
    (void)state;
    char out[64];
    struct text t = text_of(out, sizeof(out));
    text_html(&t, SLICE("<a href='x'>\"&"));
    assert_true(slice_eq(text_slice(&t), SLICE("&lt;a href=&#39;x&#39;&gt;&quot;&amp;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_written_behind_the_end),
        cmocka_unit_test(test_numbers_and_ids_have_their_width),
        cmocka_unit_test(test_times_agree_with_the_c_library),
        cmocka_unit_test(test_escapes_leave_nothing_that_could_break_out),
        cmocka_unit_test(test_every_byte_at_every_place),
        cmocka_unit_test(test_a_cut_never_splits_a_character),
        cmocka_unit_test(test_html_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
