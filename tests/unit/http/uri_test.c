/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/uri.h"

#include "../base/scratch.h"

static void test_paths_are_decoded_and_straightened(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/", "/"},
        {"*", "*"},
        {"/a/b", "/a/b"},
        {"/a/", "/a/"},
        {"/.", "/"},
        {"/./", "/"},
        {"/a/.", "/a/"},
        {"/a/..", "/"},
        {"/a/b/..", "/a/"},
        {"/a/b/../", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"/a/./b/.././c", "/a/c"},
        {"/a/b/c/../../d", "/a/d"},
        {"/mid/content=5/../6", "/mid/6"}, /* RFC 3986 5.2.4 */
        {"/a/b/c/./../../g", "/a/g"},
        {"/...", "/..."},
        {"/..a", "/..a"},
        {"/.a", "/.a"},
        {"/a..", "/a.."},
        {"/a./b", "/a./b"},
        {"//", "/"},
        {"//a///b//", "/a/b/"},
        {"/a//../b", "/b"},
        {"/%61", "/a"},
        {"/%7Ea%7e", "/~a~"},
        {"/%e2%82%ac", "/\342\202\254"},
        {"/a%20b", "/a b"},
        {"/%25", "/%"},
        {"/%2541", "/%41"}, /* decoded once */
        {"/%252e%252e/a", "/%2e%2e/a"},
        {"/a/%2e%2e/b", "/b"},
        {"/a/%2E./b", "/b"},
        {"/a/.%2e", "/"},
        {"/%2e/a", "/a"},
        {"/a%2fb", "/a/b"},
        {"/a%2f..%2Fb", "/b"},
        {"/a/b%2f..%2f..", "/"},
        {"/a%2f%2f/b", "/a/b"},
        {"/a%3fb", "/a?b"},
        {"/a%5c..%5cb", "/a\\..\\b"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice out;
        struct fault f;
        assert_int_equal(uri_normalise_path(slice_str(rows[i][0]), &arena, &out, &f), PARSE_DONE);
        if (!slice_eq(out, slice_str(rows[i][1])))
            print_error("%s: " SLICE_FMT "\n", rows[i][0], SLICE_ARG(out));
        assert_true(slice_eq(out, slice_str(rows[i][1])));
    }
}

static void test_paths_without_a_normal_form_are_refused(void **state)
{
    (void)state;
    static const struct slice rows[] = {
        SLICE_INIT(""),        SLICE_INIT("a"),       SLICE_INIT("**"),
        SLICE_INIT("/.."),     SLICE_INIT("/../a"),   SLICE_INIT("/a/../.."),
        SLICE_INIT("//.."),    SLICE_INIT("/%2e%2e"), SLICE_INIT("/a/..%2f..%2fb"),
        SLICE_INIT("/%00"),    SLICE_INIT("/a%00b"),  SLICE_INIT("/%"),
        SLICE_INIT("/%4"),     SLICE_INIT("/%zz"),    SLICE_INIT("/%4g"),
        SLICE_INIT("/%u0041"), SLICE_INIT("/a\000b"), SLICE_INIT("/%2%66"),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice out;
        struct fault f = {0};
        assert_int_equal(uri_normalise_path(rows[i], &arena, &out, &f), PARSE_BAD);
        assert_int_equal(f.status, 400);
    }
}

static void test_a_normal_path_is_not_copied(void **state)
{
    (void)state;
    struct slice raw = SLICE("/a/b.c/d-e"), out;
    struct fault f;
    assert_int_equal(uri_normalise_path(raw, &arena, &out, &f), PARSE_DONE);
    assert_ptr_equal(out.p, raw.p);
}

static void test_dot_segments_are_seen(void **state)
{
    (void)state;
    static const char *const with[] = {"/a/../b", "/a/./b",    "/..",         "/.",      "/a/..",
                                       "/%2e/a",  "/a/.%2E/b", "/a%2f..%2Fb", "/a/.%2f", "//./a"};
    static const char *const without[] = {"/",      "/a",  "/.a",    "/...",  "/a/..b/c",
                                          "/a./b.", "//a", "/a%2fb", "/%2ea", "/..;/a"};
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++)
        assert_true(uri_has_dots(slice_str(with[i])));
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
        assert_false(uri_has_dots(slice_str(without[i])));
}

static void test_authorities_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *authority, *host;
        int port;
    } rows[] = {
        {"a", "a", -1},
        {"a.example.", "a.example.", -1},
        {"a:80", "a", 80},
        {"a:", "a", -1},
        {"a:0", "a", 0},
        {"a:65535", "a", 65535},
        {"a:00080", "a", 80},
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"[::]", "::", -1},
        {"[::1]:443", "::1", 443},
        {"[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", -1},
        {"[1::8]", "1::8", -1},
        {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice host;
        int port;
        assert_true(uri_split_authority(slice_str(rows[i].authority), &host, &port));
        assert_true(slice_eq(host, slice_str(rows[i].host)));
        assert_int_equal(port, rows[i].port);
    }
}

static void test_what_is_no_authority_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        ":",
        ":80",
        "u@a",
        "u:p@a",
        "a:b",
        "a:65536",
        "a:+1",
        "a:1:2",
        "a b",
        "a,b",
        "a/b",
        "a%41",
        "[",
        "[]",
        "[::1",
        "::1",
        "[1:2]",
        "[1:2:3:4:5:6:7:8:9]",
        "[1::2::3]",
        "[12345::]",
        "[::1]x",
        "[::1%25a]",
        "[v1.a]",
        "[::256.0.0.1]",
        "a\\b",
        "\303\251",
        "a?",
        "a#",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice host;
        int port;
        assert_false(uri_split_authority(slice_str(rows[i]), &host, &port));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_decoded_and_straightened),
        cmocka_unit_test(test_paths_without_a_normal_form_are_refused),
        cmocka_unit_test(test_a_normal_path_is_not_copied),
        cmocka_unit_test(test_dot_segments_are_seen),
        cmocka_unit_test(test_authorities_are_split),
        cmocka_unit_test(test_what_is_no_authority_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
