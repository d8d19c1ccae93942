/* The limit that is found: against a backend that does so many requests at a time and lets others
 * wait for their turn. Time is a number.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "conf.h"
#include "pool/pool_internal.h"

enum { MILLISECOND = 1000, SECOND = 1000000 };

static struct pool pool;
static struct pool_conf conf;
static struct backend_conf line;
static struct loop loop;

static struct backend *start(uint32_t max_conns)
{
    struct pool_address a = test_address(1);
    conf = test_conf(BALANCE_ROUND_ROBIN);
    conf.adaptive_percent = 150;
    conf.adaptive_min = 4;
    conf.adaptive_max = 500;
    conf.adaptive_measure_ms = 10000;
    loop = (struct loop){.now_us = loop_clock_us()};
    pool_init(&pool, &conf, 1);
    pool_set_loop(&pool, 0, &loop);
    line = (struct backend_conf){.text = SLICE("a"), .weight = 1, .max_conns = max_conns};
    pool_set_addresses(&pool, &line, &a, 1);
    return pool.backends[0];
}

/* So many clients ask at once, as far as they may, and all wait for all. */
static void round_of(struct backend *b, uint32_t clients, uint32_t at_a_time, uint32_t answer_us)
{
    uint32_t n = clients < b->max_open ? clients : b->max_open;
    uint64_t latency_us = (uint64_t)answer_us * (n > at_a_time ? n : at_a_time) / at_a_time;
    const struct pool_outcome o = {VERDICT_OK, (uint32_t)latency_us, loop.now_us};
    for (uint32_t i = 0; i < n; i++)
        pool_open_slot(&pool, b);
    loop.now_us += latency_us;
    for (uint32_t i = 0; i < n; i++)
        pool_release(&pool, b, 0, &o);
}

static void rounds(struct backend *b, uint32_t clients, uint32_t at_a_time, uint32_t answer_us,
                   uint64_t how_long_us)
{
    uint64_t end_us = loop.now_us + how_long_us;
    while (loop.now_us < end_us || b->adapt.is_measuring)
        round_of(b, clients, at_a_time, answer_us);
}

static void test_it_is_near_what_the_backend_can_do(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {6, 8, 20, 50, 128};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct backend *b = start(0);
        assert_int_equal(b->max_open, 4);
        rounds(b, 1000, sizes[i], 20 * MILLISECOND, 60 * SECOND);
        if (b->max_open < sizes[i] || b->max_open > 2 * sizes[i])
            fail_msg("%u for a backend that does %u at a time", b->max_open, sizes[i]);
        pool_fini(&pool);
    }
}

static void test_it_follows_a_backend_that_can_do_less_and_more_again(void **state)
{
    (void)state;
    struct backend *b = start(0);
    rounds(b, 1000, 40, 20 * MILLISECOND, 60 * SECOND);
    rounds(b, 1000, 8, 20 * MILLISECOND, 20 * SECOND);
    assert_in_range(b->max_open, 8, 16);
    rounds(b, 1000, 40, 20 * MILLISECOND, 60 * SECOND);
    assert_in_range(b->max_open, 40, 80);
    pool_fini(&pool);
}

/* What is usual is measured anew. */
static void test_an_application_that_has_become_slower_keeps_its_limit(void **state)
{
    (void)state;
    struct backend *b = start(0);
    rounds(b, 1000, 20, 10 * MILLISECOND, 60 * SECOND);
    rounds(b, 1000, 20, 80 * MILLISECOND, 60 * SECOND);
    assert_in_range(b->max_open, 20, 40);
    pool_fini(&pool);
}

static void test_what_is_not_used_does_not_grow(void **state)
{
    (void)state;
    struct backend *b = start(0);
    rounds(b, 3, 1000, 10 * MILLISECOND, 60 * SECOND);
    assert_int_equal(b->max_open, 4);
    rounds(b, 30, 1000, 10 * MILLISECOND, 60 * SECOND);
    assert_in_range(b->max_open, 30, 64);
    pool_fini(&pool);
}

static void test_no_answers_make_it_smaller(void **state)
{
    (void)state;
    struct backend *b = start(0);
    conf.fail_count = 0;
    rounds(b, 100, 1000, 10 * MILLISECOND, 5 * SECOND);
    uint32_t before = b->max_open;
    for (int i = 0; i < 5; i++) {
        const struct pool_outcome o = {VERDICT_FAIL, 0, loop.now_us};
        pool_open_slot(&pool, b);
        loop.now_us += 200 * MILLISECOND;
        pool_release(&pool, b, 0, &o);
    }
    assert_true(b->max_open < before / 2);
    pool_fini(&pool);
}

static void test_a_few_that_fail_do_not(void **state)
{
    (void)state;
    struct backend *b = start(0);
    conf.fail_count = 0;
    for (int i = 0; i < 2000; i++) {
        const struct pool_outcome o = {VERDICT_FAIL, 0, loop.now_us};
        round_of(b, 100, 1000, 10 * MILLISECOND);
        if (i % 4)
            continue;
        pool_open_slot(&pool, b);
        pool_release(&pool, b, 0, &o);
    }
    assert_true(b->max_open >= 100 || b->adapt.is_measuring);
    pool_fini(&pool);
}

static void test_what_is_configured_is_never_passed_and_counts_alone_without(void **state)
{
    (void)state;
    struct backend *b = start(10);
    rounds(b, 1000, 1000, 10 * MILLISECOND, 30 * SECOND);
    assert_int_equal(b->max_open, 10);
    struct pool_conf other = conf;
    other.backends = &line;
    other.backend_count = 1;
    other.adaptive_percent = 0;
    pool_set_conf(&pool, &other);
    assert_int_equal(b->max_open, 10);
    assert_int_equal(b->adapt.limit, 0);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_near_what_the_backend_can_do),
        cmocka_unit_test(test_it_follows_a_backend_that_can_do_less_and_more_again),
        cmocka_unit_test(test_an_application_that_has_become_slower_keeps_its_limit),
        cmocka_unit_test(test_what_is_not_used_does_not_grow),
        cmocka_unit_test(test_no_answers_make_it_smaller),
        cmocka_unit_test(test_a_few_that_fail_do_not),
        cmocka_unit_test(test_what_is_configured_is_never_passed_and_counts_alone_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
