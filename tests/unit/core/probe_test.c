/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/probe.h"

enum { DRAWS = 100000, BUCKETS = 20 };

static void test_pauses_are_spread_evenly_within_a_tenth(void **state)
{
    (void)state;
    static const uint64_t pauses_ms[] = {100, 1000, 5000, 30000};
    for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
        uint64_t random = 7, ms = pauses_ms[i], sum = 0, buckets[BUCKETS] = {0};
        for (int n = 0; n < DRAWS; n++) {
            uint64_t drawn = probe_jitter(&random, ms);
            assert_in_range(drawn, ms - ms / 10, ms + ms / 10);
            buckets[(drawn - (ms - ms / 10)) * BUCKETS / (ms / 10 * 2 + 1)]++;
            sum += drawn;
        }
        assert_in_range(sum / DRAWS, ms - ms / 200 - 1, ms + ms / 200 + 1);
        for (int b = 0; b < BUCKETS; b++)
            assert_in_range(buckets[b], DRAWS / BUCKETS / 2, DRAWS / BUCKETS * 2);
    }
}

static void test_short_pauses_stay_what_they_are(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (uint64_t ms = 1; ms < 10; ms++)
        assert_int_equal(probe_jitter(&random, ms), ms);
}

static void test_a_state_says_what_comes(void **state)
{
    (void)state;
    uint64_t a = 42, b = 42, c = 43;
    int same = 0;
    for (int n = 0; n < 100; n++) {
        uint64_t drawn = probe_jitter(&a, 30000);
        assert_int_equal(drawn, probe_jitter(&b, 30000));
        same += drawn == probe_jitter(&c, 30000);
    }
    assert_in_range(same, 0, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_are_spread_evenly_within_a_tenth),
        cmocka_unit_test(test_short_pauses_stay_what_they_are),
        cmocka_unit_test(test_a_state_says_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
