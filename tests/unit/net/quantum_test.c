/* How much is done at once, from how long it took.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/quantum.h"

enum { MIN = 8, MAX = 64, US = 800, ENOUGH = 100 };

static struct quantum begin(void)
{
    struct quantum q;
    quantum_init(&q, MIN, MAX, US);
    return q;
}

/* As much as it says, again and again, each of which takes so long. */
static void work(struct quantum *q, unsigned times, uint64_t us_each)
{
    while (times--)
        quantum_learn(q, quantum_now(q), quantum_now(q) * us_each);
}

static void test_it_is_as_much_as_the_time_allows(void **state)
{
    (void)state;
    static const struct {
        uint64_t us_each;
        uint32_t wanted;
    } rows[] = {{0, MAX}, {1, MAX},        {US / MAX, MAX}, {20, 40},
                {50, 16}, {US / MIN, MIN}, {5000, MIN}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct quantum q = begin();
        assert_int_equal(quantum_now(&q), MAX);
        work(&q, ENOUGH, rows[i].us_each);
        assert_int_equal(quantum_now(&q), rows[i].wanted);
    }
}

static void test_it_recovers(void **state)
{
    (void)state;
    struct quantum q = begin();
    work(&q, ENOUGH, 5000);
    assert_int_equal(quantum_now(&q), MIN);
    work(&q, ENOUGH, 20);
    assert_int_equal(quantum_now(&q), 40);
    work(&q, ENOUGH, 1);
    assert_int_equal(quantum_now(&q), MAX);
}

static void test_one_that_took_ages_takes_an_eighth(void **state)
{
    (void)state;
    struct quantum q = begin();
    quantum_learn(&q, MAX, 1000000);
    assert_in_range(quantum_now(&q), MAX * 7 / 8, MAX - 1);
}

static void test_little_does_not_count(void **state)
{
    (void)state;
    struct quantum q = begin();
    for (unsigned i = 0; i < ENOUGH; i++)
        quantum_learn(&q, MIN - 1, 1000000);
    assert_int_equal(quantum_now(&q), MAX);
}

static void test_bytes_by_the_million(void **state)
{
    (void)state;
    struct quantum q;
    quantum_init(&q, 128 << 10, 1 << 20, 500);
    for (unsigned i = 0; i < ENOUGH; i++)
        quantum_learn(&q, quantum_now(&q), quantum_now(&q) / 1024); /* a gigabyte a second */
    assert_in_range(quantum_now(&q), 499 << 10, 501 << 10);
    for (unsigned i = 0; i < 2 * ENOUGH; i++)
        quantum_learn(&q, UINT32_MAX, UINT32_MAX / 4096);
    assert_int_equal(quantum_now(&q), 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_as_much_as_the_time_allows),
        cmocka_unit_test(test_it_recovers),
        cmocka_unit_test(test_one_that_took_ages_takes_an_eighth),
        cmocka_unit_test(test_little_does_not_count),
        cmocka_unit_test(test_bytes_by_the_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
