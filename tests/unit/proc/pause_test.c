/* SPDX-License-Identifier: MIT */
#include "proc/pause.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_one_that_never_serves_is_started_less_and_less_often(void **state)
{
    static const int64_t expected[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    int64_t pause_ms = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        pause_ms = pause_next_ms(pause_ms, 20, false);
        assert_int_equal(pause_ms, expected[i]);
    }
}

static void test_one_that_has_served_is_never_away_for_long(void **state)
{
    int64_t pause_ms = 0;
    (void)state;
    for (int i = 0; i < 8; i++) {
        pause_ms = pause_next_ms(pause_ms, 20, true);
        assert_in_range(pause_ms, PAUSE_MIN_MS, PAUSE_SERVED_MAX_MS);
    }
    assert_int_equal(pause_next_ms(PAUSE_MAX_MS, 20, true), PAUSE_SERVED_MAX_MS);
}

static void test_one_that_has_lived_for_long_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(pause_next_ms(PAUSE_MAX_MS, PAUSE_HEALTHY_MS, false), PAUSE_MIN_MS);
    assert_int_equal(pause_next_ms(PAUSE_SERVED_MAX_MS, PAUSE_HEALTHY_MS, true), PAUSE_MIN_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_never_serves_is_started_less_and_less_often),
        cmocka_unit_test(test_one_that_has_served_is_never_away_for_long),
        cmocka_unit_test(test_one_that_has_lived_for_long_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
