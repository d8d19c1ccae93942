/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/file_piece.h"

static void test_pieces_follow_each_other(void **state)
{
    struct slice rest = SLICE("/a%20b 0-9,\t/c 5- , /d 7-7");
    struct file_piece p;
    (void)state;
    assert_true(file_piece_next(&rest, &p));
    assert_true(slice_eq(p.path, SLICE("/a%20b")) && p.first == 0 && p.last == 9 && !p.is_open);
    assert_true(file_piece_next(&rest, &p));
    assert_true(slice_eq(p.path, SLICE("/c")) && p.first == 5 && p.is_open);
    assert_true(file_piece_next(&rest, &p));
    assert_true(slice_eq(p.path, SLICE("/d")) && p.first == 7 && p.last == 7);
    assert_false(file_piece_next(&rest, &p));
    assert_int_equal(rest.n, 0);
}

static void test_what_is_no_piece_is_left(void **state)
{
    static const char *const wrong[] = {
        "/a",
        "/a ",
        "/a 0",
        "/a -5",
        "/a 5-4",
        "/a 0-1 x",
        "/a 0-1;",
        "0-1",
        " 0-1",
        "/a 0--1",
        "/a 0-1-2",
        "/a x-1",
        "/a 99999999999999999999-",
        "/a 0-99999999999999999999",
        "/a 0-18446744073709551615",
        ",",
        ", /a 0-1",
        "/a b 0-1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct slice rest = slice_str(wrong[i]);
        struct file_piece p;
        if (file_piece_next(&rest, &p) || rest.n == 0)
            fail_msg("taken: %s", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_follow_each_other),
        cmocka_unit_test(test_what_is_no_piece_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
