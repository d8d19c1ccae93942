/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hist.h"

static void test_bounds_grow_and_each_holds_its_own_upper_end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i + 1 < HIST_BUCKETS; i++) {
        uint64_t upper = hist_upper_us(i);
        assert_int_equal(hist_bucket(upper), i);
        assert_int_equal(hist_bucket(upper + 1), i + 1);
        assert_true(upper < hist_upper_us(i + 1));
    }
    assert_true(hist_upper_us(HIST_BUCKETS - 1) == UINT64_MAX);
}

static void test_extremes_find_a_bucket(void **state)
{
    (void)state;
    assert_int_equal(hist_bucket(0), 0);
    assert_int_equal(hist_bucket(1), 0);
    assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
    assert_int_equal(hist_upper_us(HIST_BUCKETS - 2), UINT64_C(1) << HIST_LAST);
}

static void test_a_doubling_has_four_buckets(void **state)
{
    (void)state;
    for (unsigned k = HIST_FIRST; k < HIST_LAST; k++)
        assert_int_equal(hist_bucket(UINT64_C(1) << (k + 1)) - hist_bucket(UINT64_C(1) << k),
                         HIST_PER_DOUBLE);
}

static void test_several_are_read_as_one(void **state)
{
    (void)state;
    static struct hist a, b;
    struct hist_sum sum = {0};
    hist_count(&a, 100);
    hist_count(&a, 100);
    hist_count(&b, 1000000);
    hist_read(&a, &sum);
    hist_read(&b, &sum);
    assert_int_equal(sum.count, 3);
    assert_int_equal(sum.sum_us, 1000200);
    assert_int_equal(sum.buckets[hist_bucket(100)], 2);
    assert_int_equal(sum.buckets[hist_bucket(1000000)], 1);
}

static void test_quantiles_are_right_within_a_bucket(void **state)
{
    (void)state;
    static struct hist h;
    struct hist_sum sum = {0};
    for (uint64_t us = 1; us <= 100000; us++)
        hist_count(&h, us);
    hist_read(&h, &sum);
    for (int percent = 1; percent < 100; percent++) {
        uint64_t exact = (uint64_t)percent * 1000;
        uint64_t got = hist_quantile_us(&sum, percent / 100.0);
        assert_in_range(got, exact * 8 / 10, exact * 12 / 10);
    }
}

static void test_quantiles_of_nothing_and_of_the_longest(void **state)
{
    (void)state;
    static struct hist h;
    struct hist_sum none = {0}, sum = {0};
    assert_int_equal(hist_quantile_us(&none, 0.5), 0);
    hist_count(&h, UINT64_MAX / 2);
    hist_read(&h, &sum);
    assert_int_equal(hist_quantile_us(&sum, 0.5), UINT64_C(1) << HIST_LAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_grow_and_each_holds_its_own_upper_end),
        cmocka_unit_test(test_extremes_find_a_bucket),
        cmocka_unit_test(test_a_doubling_has_four_buckets),
        cmocka_unit_test(test_several_are_read_as_one),
        cmocka_unit_test(test_quantiles_are_right_within_a_bucket),
        cmocka_unit_test(test_quantiles_of_nothing_and_of_the_longest),
    };
    return cmocka_run_group_tests_name("hist", tests, NULL, NULL);
}
