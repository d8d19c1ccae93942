/* Each balancer's shares against its weights, by chi-square at 0.1 %, and what is particular to
 * each. The pool is real; there are no connections, and time is a number.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../base/random.h"
#include "conf.h"
#include "pool/pool_internal.h"

enum { BACKENDS = 4, PICKS = 20000, KEYS = 20000 };

static struct pool pool;
static struct pool_conf conf;
static struct backend_conf lines[8];
static struct loop loop;

static const uint32_t even[] = {1, 1, 1, 1}, uneven[] = {1, 2, 3, 4};

/* Backends at 127.0.0.1:1, :2 ... */
static void start(int balance, const uint32_t *weights, uint32_t count)
{
    conf = test_conf(balance);
    loop = (struct loop){.now_us = 1000000};
    memset(lines, 0, sizeof(lines));
    pool_init(&pool, &conf, 1);
    pool_set_loop(&pool, 0, &loop);
    pool.random = 12345;
    static const struct slice names[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c"),
                                         SLICE_INIT("d"), SLICE_INIT("e"), SLICE_INIT("f")};
    for (uint32_t i = 0; i < count; i++) {
        struct pool_address a = test_address((uint16_t)(i + 1));
        lines[i] = (struct backend_conf){.text = names[i], .weight = weights[i]};
        pool_set_addresses(&pool, &lines[i], &a, 1);
    }
}

static int index_of(const struct backend *b)
{
    return ntohs(((const struct sockaddr_in *)(const void *)&b->addr)->sin_port) - 1;
}

static struct backend *pick_key(uint64_t key)
{
    const struct demand d = {.key = key, .class = QUEUE_NORMAL};
    struct backend *b = NULL;
    enum pick pick = pool_pick(&pool, 0, &d, &b);
    return pick == PICK_DIAL ? b : NULL;
}

static void give(struct backend *b, enum verdict verdict, uint32_t latency_us)
{
    const struct pool_outcome o = {verdict, latency_us, loop.now_us};
    pool_release(&pool, b, 0, &o);
    backend_unref(b);
}

/* The 99.9 % quantile for 3 degrees of freedom. */
static const double limit_3 = 16.27;

static double chi_square(const uint32_t *counts, const uint32_t *weights, uint32_t n)
{
    double sum = 0, total = 0, chi = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += weights[i];
        total += counts[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        double expected = total * weights[i] / sum;
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
    return chi;
}

/* One request at a time, all answered alike. */
static void test_shares(void **state)
{
    (void)state;
    static const int balances[] = {BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN, BALANCE_RANDOM_TWO,
                                   BALANCE_EWMA, BALANCE_HASH};
    struct random random = {5};
    for (size_t k = 0; k < sizeof(balances) / sizeof(balances[0]); k++)
        for (int weighted = 0; weighted < 2; weighted++) {
            const uint32_t *weights = weighted ? uneven : even;
            uint32_t counts[BACKENDS] = {0};
            start(balances[k], weights, BACKENDS);
            for (int i = 0; i < PICKS; i++) {
                struct backend *b = pick_key(random_next(&random));
                assert_non_null(b);
                counts[index_of(b)]++;
                loop.now_us += 100;
                give(b, VERDICT_OK, 1000);
            }
            double chi = chi_square(counts, weights, BACKENDS);
            print_message("%s %s: %u %u %u %u, chi-square %.2f\n", pool.balancer->name,
                          weighted ? "weighted" : "even", counts[0], counts[1], counts[2],
                          counts[3], chi);
            /* ewma measures: within the noise it takes turns, but for its very first picks */
            assert_true(chi < limit_3);
            pool_fini(&pool);
        }
}

/* Many requests under way, which end in no order: what counts requests stays even. */
static void test_least_conn_is_even_under_load(void **state)
{
    (void)state;
    struct backend *under_way[40];
    struct random random = {6};
    start(BALANCE_LEAST_CONN, uneven, BACKENDS);
    for (int i = 0; i < 40; i++)
        under_way[i] = pick_key(0);
    for (int i = 0; i < PICKS; i++) {
        uint32_t k = random_below(&random, 40);
        give(under_way[k], VERDICT_OK, 1000);
        under_way[k] = pick_key(0);
        for (uint32_t b = 0; b < BACKENDS; b++) /* 4, 8, 12, 16, give or take one and its due */
            assert_in_range(pool.backends[b]->busy, 4 * uneven[b] - 3, 4 * uneven[b] + 3);
    }
    for (int i = 0; i < 40; i++)
        give(under_way[i], VERDICT_OK, 1000);
    pool_fini(&pool);
}

static void test_smooth_turns(void **state)
{
    (void)state;
    static const uint32_t weights[] = {5, 1, 1};
    char order[8] = "";
    start(BALANCE_ROUND_ROBIN, weights, 3);
    for (int i = 0; i < 7; i++) {
        struct backend *b = pick_key(0);
        order[i] = (char)('a' + index_of(b));
        give(b, VERDICT_OK, 1);
    }
    assert_string_equal(order, "aabacaa");
    pool_fini(&pool);
}

/* ---- ewma ---- */

static void ask(uint32_t *counts, int times, const uint32_t *latencies)
{
    for (int i = 0; i < times; i++) {
        struct backend *b = pick_key(0);
        int at = index_of(b);
        counts[at]++;
        loop.now_us += 1000;
        give(b, VERDICT_OK, latencies[at]);
    }
}

static void test_ewma_avoids_the_slow_and_comes_back(void **state)
{
    (void)state;
    static const uint32_t slow[] = {1000, 1000, 500000, 1000};
    static const uint32_t well[] = {1000, 1000, 1000, 1000};
    uint32_t counts[BACKENDS] = {0};
    start(BALANCE_EWMA, even, BACKENDS);
    ask(counts, 5000, slow);
    assert_in_range(counts[2], 1, 20); /* asked now and then: never forgotten */
    uint32_t before = counts[2];
    ask(counts, 60000, slow); /* a minute */
    assert_in_range(counts[2] - before, 1, 30);
    memset(counts, 0, sizeof(counts));
    ask(counts, 20000, well); /* recovered */
    memset(counts, 0, sizeof(counts));
    ask(counts, 4000, well);
    for (int i = 0; i < BACKENDS; i++)
        assert_in_range(counts[i], 900, 1100);
    pool_fini(&pool);
}

/* ---- hash ---- */

static void map_keys(int *owners)
{
    struct random random = {7};
    for (int i = 0; i < KEYS; i++) {
        struct backend *b = pick_key(random_next(&random));
        owners[i] = index_of(b);
        give(b, VERDICT_OK, 1);
    }
}

static void test_a_backend_that_leaves_takes_only_its_own_keys(void **state)
{
    (void)state;
    static int before[KEYS], after[KEYS], back[KEYS];
    char text[] = "127.0.0.1:3";
    start(BALANCE_HASH, uneven, BACKENDS);
    map_keys(before);
    assert_int_equal(pool_disable(&pool, slice_str(text)), 0);
    map_keys(after);
    assert_int_equal(pool_enable(&pool, slice_str(text)), 0);
    map_keys(back);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(back[i], before[i]);
        if (before[i] != 2)
            assert_int_equal(after[i], before[i]);
        else
            assert_int_not_equal(after[i], 2);
    }
    pool_fini(&pool);
}

static void test_a_weight_that_grows_only_attracts_keys(void **state)
{
    (void)state;
    static int before[KEYS], after[KEYS];
    char text[] = "127.0.0.1:1";
    start(BALANCE_HASH, even, BACKENDS);
    map_keys(before);
    assert_int_equal(pool_set_weight(&pool, slice_str(text), 2), 0);
    map_keys(after);
    for (int i = 0; i < KEYS; i++)
        assert_true(after[i] == before[i] || after[i] == 0);
    pool_fini(&pool);
}

static void test_a_popular_key_does_not_drown_its_backend(void **state)
{
    (void)state;
    struct backend *under_way[100];
    start(BALANCE_HASH, even, BACKENDS);
    for (int i = 0; i < 100; i++)
        under_way[i] = pick_key(42);
    for (int i = 0; i < BACKENDS; i++)
        assert_true(pool.backends[i]->busy <= 32); /* 1.25 * 25, rounded up */
    for (int i = 0; i < 100; i++)
        give(under_way[i], VERDICT_OK, 1);
    pool_fini(&pool);
}

/* ---- first, backups, cookies, slow start ---- */

static void test_first_packs(void **state)
{
    (void)state;
    struct backend *under_way[5];
    start(BALANCE_FIRST, even, 3);
    for (int i = 0; i < 3; i++)
        pool.backends[i]->max_open = 2;
    static const int order[] = {0, 0, 1, 1, 2};
    for (int i = 0; i < 5; i++) {
        under_way[i] = pick_key(0);
        assert_int_equal(index_of(under_way[i]), order[i]);
    }
    give(under_way[0], VERDICT_OK, 1);
    under_way[0] = pick_key(0);
    assert_int_equal(index_of(under_way[0]), 0);
    for (int i = 0; i < 5; i++)
        give(under_way[i], VERDICT_OK, 1);
    pool_fini(&pool);
}

static void test_first_is_who_stands_first_in_the_file(void **state)
{
    (void)state;
    struct pool_address one = test_address(1), two[2] = {test_address(2), test_address(3)};
    const struct pool_new new = {.address = test_address(4)};
    start(BALANCE_FIRST, even, 2);
    conf.backends = lines;
    conf.backend_count = 2;
    pool_set_conf(&pool, &conf);
    assert_int_equal(pool_add(&pool, &new), 0);
    pool_set_addresses(&pool, &lines[0], &one, 1); /* the name is resolved once more */
    assert_int_equal(index_of(pool.backends[0]), 0);
    pool_set_addresses(&pool, &lines[1], two, 2);
    pool_set_addresses(&pool, &lines[0], NULL, 0);
    pool_set_addresses(&pool, &lines[0], &one, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(index_of(pool.backends[i]), i);
    static struct backend_conf turned[2];
    turned[0] = lines[1];
    turned[1] = lines[0];
    conf.backends = turned;
    pool_set_conf(&pool, &conf);
    static const int order[] = {1, 2, 0, 3};
    for (int i = 0; i < 4; i++)
        assert_int_equal(index_of(pool.backends[i]), order[i]);
    pool_fini(&pool);
}

static void test_backups_work_when_all_others_are_down(void **state)
{
    (void)state;
    start(BALANCE_ROUND_ROBIN, even, 3);
    struct backend_conf backup = lines[2];
    struct pool_address a = test_address(3);
    backup.is_backup = true;
    pool_set_addresses(&pool, &backup, &a, 1);
    static const char *const texts[] = {"127.0.0.1:1", "127.0.0.1:2"};
    for (int i = 0; i < 10; i++) {
        struct backend *b = pick_key(0);
        assert_int_not_equal(index_of(b), 2);
        give(b, VERDICT_OK, 1);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pool_disable(&pool, slice_str(texts[i])), 0);
    struct backend *b = pick_key(0);
    assert_int_equal(index_of(b), 2);
    give(b, VERDICT_OK, 1);
    assert_int_equal(pool_enable(&pool, slice_str(texts[0])), 0);
    b = pick_key(0);
    assert_int_equal(index_of(b), 0);
    give(b, VERDICT_OK, 1);
    pool_fini(&pool);
}

static void test_an_attempt_that_has_tried_all_others_gets_the_backup(void **state)
{
    (void)state;
    start(BALANCE_ROUND_ROBIN, even, 2);
    struct backend_conf backup = lines[1];
    struct pool_address a = test_address(2);
    backup.is_backup = true;
    pool_set_addresses(&pool, &backup, &a, 1);
    struct demand d = {.class = QUEUE_NORMAL, .is_again = true};
    d.tried = (struct tried){.backends = {pool.backends[0]}, .count = 1};
    struct backend *b;
    assert_int_equal(pool_pick(&pool, 0, &d, &b), PICK_DIAL);
    assert_int_equal(index_of(b), 1);
    give(b, VERDICT_OK, 1);
    pool_fini(&pool);
}

static void test_a_cookie_brings_back_to_its_backend(void **state)
{
    (void)state;
    start(BALANCE_ROUND_ROBIN, even, BACKENDS);
    struct pool_conf sticky = conf;
    sticky.sticky = SLICE("srv");
    for (int i = 0; i < BACKENDS; i++)
        sticky.backends = lines, sticky.backend_count = BACKENDS;
    pool_set_conf(&pool, &sticky);
    const struct backend *wanted = pool.backends[2];
    const struct demand d = {.stick = wanted->stick, .class = QUEUE_NORMAL};
    static const char text[] = "127.0.0.1:3";
    assert_int_not_equal(wanted->stick, 0);
    for (int i = 0; i < 10; i++) {
        struct backend *b;
        assert_int_equal(pool_pick(&pool, 0, &d, &b), PICK_DIAL);
        assert_ptr_equal(b, wanted);
        give(b, VERDICT_OK, 1);
    }
    struct backend *b;
    assert_int_equal(pool_drain(&pool, slice_str(text)), 0); /* its sessions end there */
    assert_int_equal(pool_pick(&pool, 0, &d, &b), PICK_DIAL);
    assert_ptr_equal(b, wanted);
    give(b, VERDICT_OK, 1);
    assert_int_equal(pool_disable(&pool, slice_str(text)), 0);
    assert_int_equal(pool_pick(&pool, 0, &d, &b), PICK_DIAL);
    assert_ptr_not_equal(b, wanted);
    give(b, VERDICT_OK, 1);
    pool_fini(&pool);
}

static void test_a_newcomer_starts_slowly(void **state)
{
    (void)state;
    uint32_t counts[BACKENDS] = {0};
    start(BALANCE_ROUND_ROBIN, even, 2);
    conf.slow_ms = 10000;
    loop.now_us = loop_clock_us();
    give(pick_key(0), VERDICT_OK, 1);
    struct pool_address a = test_address(3);
    lines[2] = (struct backend_conf){.text = SLICE_INIT("c"), .weight = 1};
    pool_set_addresses(&pool, &lines[2], &a, 1);
    for (int i = 0; i < 1000; i++) {
        struct backend *b = pick_key(0);
        counts[index_of(b)]++;
        give(b, VERDICT_OK, 1);
    }
    assert_in_range(counts[2], 15, 40); /* a twentieth of its weight */
    loop.now_us += 5000000;
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 1000; i++) {
        struct backend *b = pick_key(0);
        counts[index_of(b)]++;
        give(b, VERDICT_OK, 1);
    }
    assert_in_range(counts[2], 180, 220); /* half of it: a fifth of all */
    loop.now_us += 6000000;
    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < 999; i++) {
        struct backend *b = pick_key(0);
        counts[index_of(b)]++;
        give(b, VERDICT_OK, 1);
    }
    assert_in_range(counts[2], 330, 336);
    pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_least_conn_is_even_under_load),
        cmocka_unit_test(test_smooth_turns),
        cmocka_unit_test(test_ewma_avoids_the_slow_and_comes_back),
        cmocka_unit_test(test_a_backend_that_leaves_takes_only_its_own_keys),
        cmocka_unit_test(test_a_weight_that_grows_only_attracts_keys),
        cmocka_unit_test(test_a_popular_key_does_not_drown_its_backend),
        cmocka_unit_test(test_first_packs),
        cmocka_unit_test(test_first_is_who_stands_first_in_the_file),
        cmocka_unit_test(test_backups_work_when_all_others_are_down),
        cmocka_unit_test(test_an_attempt_that_has_tried_all_others_gets_the_backup),
        cmocka_unit_test(test_a_cookie_brings_back_to_its_backend),
        cmocka_unit_test(test_a_newcomer_starts_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
