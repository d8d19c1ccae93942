/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

static void test_equality_looks_at_length_and_bytes(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE("abc"), SLICE("abc")));
    assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
    assert_false(slice_eq(SLICE("abc"), SLICE("ab")));
    assert_true(slice_eq(SLICE_NONE, SLICE("")));
    assert_true(slice_eq(SLICE("a\0b"), slice_of("a\0b", 3)));
    assert_false(slice_eq(SLICE("a\0b"), SLICE("a\0c")));
    assert_true(slice_ieq(SLICE("Content-Length"), SLICE("content-LENGTH")));
    assert_false(slice_ieq(SLICE("a"), SLICE_NONE));
}

static void test_prefix_and_suffix_accept_the_empty_slice(void **state)
{
    (void)state;
    assert_true(slice_starts(SLICE("/api/x"), SLICE("/api")));
    assert_false(slice_starts(SLICE("/ap"), SLICE("/api")));
    assert_true(slice_starts(SLICE("x"), SLICE_NONE));
    assert_true(slice_starts(SLICE_NONE, SLICE_NONE));
    assert_true(slice_ends(SLICE("a.php"), SLICE(".php")));
    assert_false(slice_ends(SLICE("php"), SLICE(".php")));
    assert_true(slice_ends(SLICE_NONE, SLICE_NONE));
    assert_true(slice_ends(SLICE("x"), SLICE_NONE));
}

static void test_find_answers_the_length_when_absent(void **state)
{
    (void)state;
    assert_int_equal(slice_find(SLICE("a:b:c"), ':'), 1);
    assert_int_equal(slice_find(SLICE("abc"), ':'), 3);
    assert_int_equal(slice_find(SLICE_NONE, ':'), 0);
    assert_int_equal(slice_first(SLICE("abc"), 9).n, 3);
    assert_int_equal(slice_first(SLICE("abc"), 2).n, 2);
}

/* RFC 9110 5.6.3: OWS is blanks and tabs, nothing else. */
static void test_trim_removes_only_blanks_and_tabs(void **state)
{
    (void)state;
    assert_true(slice_eq(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_int_equal(slice_trim(SLICE("  \t")).n, 0);
    assert_true(slice_eq(slice_trim(SLICE("\va\n")), SLICE("\va\n")));
    assert_int_equal(slice_trim(SLICE_NONE).n, 0);
}

/* RFC 9110 5.6.1.2: a recipient ignores a reasonable number of empty elements. */
static void test_list_of_tokens_skips_empty_elements(void **state)
{
    (void)state;
    struct slice list = SLICE(" , a,,b c ,\td ,"), token;
    const char *const expected[] = {"a", "b c", "d"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(slice_next_token(&list, &token));
        assert_true(slice_eq(token, slice_str(expected[i])));
    }
    assert_false(slice_next_token(&list, &token));
    list = SLICE_NONE;
    assert_false(slice_next_token(&list, &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality_looks_at_length_and_bytes),
        cmocka_unit_test(test_prefix_and_suffix_accept_the_empty_slice),
        cmocka_unit_test(test_find_answers_the_length_when_absent),
        cmocka_unit_test(test_trim_removes_only_blanks_and_tabs),
        cmocka_unit_test(test_list_of_tokens_skips_empty_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
