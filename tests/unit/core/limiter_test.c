/* Rates and counts: exact, over threads too, and bounded.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "core/limiter.h"

#define S 1000000000ull

static const struct limiter_rate ten_a_second = {.interval_ns = S / 10, .burst = 3};

static void test_a_burst_passes_at_once_and_then_the_rate(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(64);
    uint64_t now = 5 * S;
    for (int i = 0; i < 3; i++)
        assert_int_equal(limiter_take(l, 1, &ten_a_second, now, 0), 0);
    assert_int_equal(limiter_take(l, 1, &ten_a_second, now, 0), S / 10);
    assert_int_equal(limiter_take(l, 1, &ten_a_second, now + S / 20, 0), S / 20);
    assert_int_equal(limiter_take(l, 2, &ten_a_second, now, 0), 0); /* another key */
    assert_int_equal(limiter_take(l, 1, &ten_a_second, now + S / 10, 0), 0);
    assert_int_equal(limiter_take(l, 1, &ten_a_second, now + S / 10, 0), S / 10);
    for (int i = 0; i < 3; i++) /* a long rest gives a burst, not more */
        assert_int_equal(limiter_take(l, 1, &ten_a_second, now + 100 * S, 0), 0);
    assert_int_equal(limiter_take(l, 1, &ten_a_second, now + 100 * S, 0), S / 10);
    limiter_free(l);
}

static void test_the_patient_wait_in_a_row(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(64);
    const struct limiter_rate one = {.interval_ns = S, .burst = 1};
    assert_int_equal(limiter_take(l, 1, &one, S, 2 * S), 0);
    assert_int_equal(limiter_take(l, 1, &one, S, 2 * S), S);
    assert_int_equal(limiter_take(l, 1, &one, S, 2 * S), 2 * S);
    assert_int_equal(limiter_take(l, 1, &one, S, 2 * S), 3 * S); /* too long: not taken */
    assert_int_equal(limiter_take(l, 1, &one, S, 2 * S), 3 * S);
    assert_int_equal(limiter_take(l, 1, &one, 2 * S, 2 * S), 2 * S);
    limiter_free(l);
}

static void test_a_full_table_forgets_who_owes_least(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(8); /* one bucket */
    const struct limiter_rate one = {.interval_ns = S, .burst = 100};
    for (uint64_t key = 1; key <= 8; key++)
        for (uint64_t n = 0; n <= key; n++)
            limiter_take(l, key, &one, S, 0);
    assert_int_equal(limiter_take(l, 9, &one, S, 0), 0); /* takes the place of key 1 */
    const struct limiter_rate none = {.interval_ns = S, .burst = 9};
    assert_int_equal(limiter_take(l, 8, &none, S, 0), S); /* remembered: nine */
    limiter_free(l);
}

static void test_counts_go_up_to_the_limit_and_back(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(64);
    struct limiter_entry *a = limiter_enter(l, 7, 2), *b = limiter_enter(l, 7, 2);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(limiter_enter(l, 7, 2));
    assert_non_null(limiter_enter(l, 8, 2));
    limiter_leave(l, a);
    a = limiter_enter(l, 7, 2);
    assert_non_null(a);
    assert_null(limiter_enter(l, 7, 2));
    limiter_free(l);
}

static void test_counts_are_never_forgotten(void **state)
{
    (void)state;
    struct limiter *l = limiter_new(8);
    struct limiter_entry *e[16];
    for (uint64_t key = 1; key <= 16; key++) {
        e[key - 1] = limiter_enter(l, key, 10);
        assert_non_null(e[key - 1]);
    }
    for (uint64_t key = 1; key <= 8; key++)
        for (int n = 0; n < 8; n++)
            limiter_enter(l, key, 9);
    for (uint64_t key = 1; key <= 16; key++)
        assert_null(limiter_enter(l, key, 9));
    for (int i = 0; i < 16; i++)
        limiter_leave(l, e[i]);
    assert_non_null(limiter_enter(l, 16, 9));
    limiter_free(l);
}

static struct limiter *shared;
static atomic_uint passed;

static void *hammer(void *ctx)
{
    const struct limiter_rate rate = {.interval_ns = S, .burst = 1000};
    (void)ctx;
    for (int i = 0; i < 5000; i++) {
        if (limiter_take(shared, 42, &rate, 10 * S, 0) == 0)
            atomic_fetch_add(&passed, 1);
        struct limiter_entry *e = limiter_enter(shared, 43, 2);
        if (e)
            limiter_leave(shared, e);
    }
    return NULL;
}

static void test_threads_share_one_rate_exactly(void **state)
{
    (void)state;
    pthread_t threads[4];
    shared = limiter_new(64);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, hammer, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(passed, 1000);
    assert_non_null(limiter_enter(shared, 43, 1));
    limiter_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_passes_at_once_and_then_the_rate),
        cmocka_unit_test(test_the_patient_wait_in_a_row),
        cmocka_unit_test(test_a_full_table_forgets_who_owes_least),
        cmocka_unit_test(test_counts_go_up_to_the_limit_and_back),
        cmocka_unit_test(test_counts_are_never_forgotten),
        cmocka_unit_test(test_threads_share_one_rate_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
