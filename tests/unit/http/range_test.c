/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/range.h"

enum { LENGTH = 1000 };

struct row {
    const char *value;
    enum range_verdict verdict;
    unsigned n;
    struct range v[3];
};

/* clang-format off */
static const struct row rows[] = {
    {"bytes=0-499", RANGE_SATISFIABLE, 1, {{0, 499}}},
    {"BYTES=0-0", RANGE_SATISFIABLE, 1, {{0, 0}}},
    {"bytes=500-", RANGE_SATISFIABLE, 1, {{500, 999}}},
    {"bytes=-500", RANGE_SATISFIABLE, 1, {{500, 999}}},
    {"bytes=-5000", RANGE_SATISFIABLE, 1, {{0, 999}}},
    {"bytes=999-5000", RANGE_SATISFIABLE, 1, {{999, 999}}},
    {"bytes=0-0,-1", RANGE_SATISFIABLE, 2, {{0, 0}, {999, 999}}},
    {"bytes=9-9, 1-2 ,\t5-6", RANGE_SATISFIABLE, 3, {{9, 9}, {1, 2}, {5, 6}}},
    {"bytes= 0-1", RANGE_SATISFIABLE, 1, {{0, 1}}},
    {"bytes=,0-1,", RANGE_SATISFIABLE, 1, {{0, 1}}},
    {"bytes=0-1,,3-4", RANGE_SATISFIABLE, 2, {{0, 1}, {3, 4}}},
    {"bytes=0-1,2000-", RANGE_SATISFIABLE, 1, {{0, 1}}},
    {"bytes=0-1,-0", RANGE_SATISFIABLE, 1, {{0, 1}}},
    {"bytes=5-99999999999999999999999", RANGE_SATISFIABLE, 1, {{5, 999}}},
    {"bytes=-99999999999999999999999", RANGE_SATISFIABLE, 1, {{0, 999}}},
    {"bytes=1000-", RANGE_UNSATISFIABLE, 0, {{0}}},
    {"bytes=1000-2000", RANGE_UNSATISFIABLE, 0, {{0}}},
    {"bytes=-0", RANGE_UNSATISFIABLE, 0, {{0}}},
    {"bytes=99999999999999999999999-", RANGE_UNSATISFIABLE, 0, {{0}}},
    {"bytes=18446744073709551615-18446744073709551615", RANGE_UNSATISFIABLE, 0, {{0}}},
    {"", RANGE_IGNORE, 0, {{0}}},
    {"bytes", RANGE_IGNORE, 0, {{0}}},
    {"bytes=", RANGE_IGNORE, 0, {{0}}},
    {"bytes=,", RANGE_IGNORE, 0, {{0}}},
    {"bytes=-", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1", RANGE_IGNORE, 0, {{0}}},
    {"bytes=2-1", RANGE_IGNORE, 0, {{0}}},
    {"bytes=0-1,2-1", RANGE_IGNORE, 0, {{0}}},
    {"bytes=--1", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1--2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=+1-2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=0x1-2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1-2 3-4", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1 -2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1-2;3-4", RANGE_IGNORE, 0, {{0}}},
    {"bytes =1-2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=1-2x", RANGE_IGNORE, 0, {{0}}},
    {"bytes:1-2", RANGE_IGNORE, 0, {{0}}},
    {"lines=1-2", RANGE_IGNORE, 0, {{0}}},
    {"xbytes=1-2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=bytes=1-2", RANGE_IGNORE, 0, {{0}}},
    {"bytes=0-,0-", RANGE_IGNORE, 0, {{0}}},
    {"bytes=0-,-1", RANGE_IGNORE, 0, {{0}}},
    {"bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", RANGE_IGNORE, 0, {{0}}},
};
/* clang-format on */

static void test_ranges_of_a_representation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ranges out;
        enum range_verdict got = range_parse(slice_str(rows[i].value), LENGTH, &out);
        if (got != rows[i].verdict)
            print_error("%s\n", rows[i].value);
        assert_int_equal(got, rows[i].verdict);
        if (got != RANGE_SATISFIABLE)
            continue;
        assert_int_equal(out.n, rows[i].n);
        assert_memory_equal(out.v, rows[i].v, out.n * sizeof(out.v[0]));
    }
}

static void test_nothing_of_an_empty_representation_is_satisfiable(void **state)
{
    (void)state;
    struct ranges out;
    assert_int_equal(range_parse(SLICE("bytes=0-"), 0, &out), RANGE_UNSATISFIABLE);
    assert_int_equal(range_parse(SLICE("bytes=-1"), 0, &out), RANGE_UNSATISFIABLE);
}

static void test_the_largest_representation_does_not_overflow(void **state)
{
    (void)state;
    struct ranges out;
    assert_int_equal(range_parse(SLICE("bytes=0-,0-0"), UINT64_MAX, &out), RANGE_IGNORE);
    assert_int_equal(range_parse(SLICE("bytes=1-"), UINT64_MAX, &out), RANGE_SATISFIABLE);
    assert_true(out.v[0].last == UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_of_a_representation),
        cmocka_unit_test(test_nothing_of_an_empty_representation_is_satisfiable),
        cmocka_unit_test(test_the_largest_representation_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
