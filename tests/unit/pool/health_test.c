/* What requests and probes show of backends: marks, pauses, trials, ejections, retries. Time is a
 * number.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "pool/pool_internal.h"

enum { SECOND = 1000000 };

static struct pool pool;
static struct pool_conf conf;
static struct backend_conf lines[4];
static struct loop loop;

static void start(uint32_t count)
{
    static const struct slice names[] = {SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("c"),
                                         SLICE_INIT("d")};
    conf = test_conf(BALANCE_ROUND_ROBIN);
    loop = (struct loop){.now_us = 10 * SECOND};
    pool_init(&pool, &conf, 1);
    pool_set_loop(&pool, 0, &loop);
    for (uint32_t i = 0; i < count; i++) {
        struct pool_address a = test_address((uint16_t)(i + 1));
        lines[i] = (struct backend_conf){.text = names[i], .weight = 1};
        pool_set_addresses(&pool, &lines[i], &a, 1);
    }
}

static struct backend *member(int i)
{
    return pool.backends[i];
}

static void take(struct backend *b)
{
    b->busy++;
    b->open++;
    pool.open++;
}

static void give(struct backend *b, enum verdict verdict, uint32_t latency_us)
{
    const struct pool_outcome o = {verdict, latency_us, loop.now_us};
    pool_release(&pool, b, 0, &o);
}

/* A request to this very backend. */
static void ask(int i, enum verdict verdict)
{
    take(member(i));
    give(member(i), verdict, 1000);
}

static const struct demand safe = {.class = QUEUE_NORMAL, .is_safe = true};
static const struct demand unsafe = {.class = QUEUE_NORMAL};

static struct backend *pick(const struct demand *d)
{
    struct backend *b = NULL;
    if (pool_pick(&pool, 0, d, &b) != PICK_DIAL)
        return NULL;
    backend_unref(b); /* the pool's reference is enough here */
    return b;
}

/* ---- marks ---- */

static void test_failures_in_a_row_take_a_backend_down(void **state)
{
    (void)state;
    start(2);
    ask(0, VERDICT_FAIL);
    ask(0, VERDICT_FAIL);
    ask(0, VERDICT_OK);
    ask(0, VERDICT_FAIL);
    ask(0, VERDICT_FAIL);
    assert_int_equal(member(0)->state, BACKEND_UP);
    ask(0, VERDICT_FAIL);
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    for (int i = 0; i < 10; i++) {
        struct backend *b = pick(&safe);
        assert_ptr_equal(b, member(1));
        give(b, VERDICT_OK, 1000);
    }
    pool_fini(&pool);
}

static void test_failures_far_apart_do_not(void **state)
{
    (void)state;
    start(2);
    for (int i = 0; i < 10; i++) {
        ask(0, VERDICT_FAIL);
        loop.now_us += 6 * SECOND;
    }
    assert_int_equal(member(0)->state, BACKEND_UP);
    pool_fini(&pool);
}

static void fail_down(int i)
{
    for (int n = 0; n < 3; n++)
        ask(i, VERDICT_FAIL);
    assert_int_equal(member(i)->state, BACKEND_DOWN);
}

static void test_one_request_is_the_trial_after_the_pause(void **state)
{
    (void)state;
    start(2);
    fail_down(0);
    loop.now_us += SECOND;
    struct backend *trial = pick(&safe);
    assert_ptr_equal(trial, member(0));
    assert_int_equal(trial->state, BACKEND_TRIAL);
    for (int i = 0; i < 5; i++) { /* nobody else meanwhile */
        struct backend *b = pick(&safe);
        assert_ptr_equal(b, member(1));
        give(b, VERDICT_OK, 1000);
    }
    give(trial, VERDICT_OK, 1000);
    assert_int_equal(member(0)->state, BACKEND_UP);
    pool_fini(&pool);
}

static void test_a_request_that_cannot_be_repeated_is_a_trial_only_after_a_while(void **state)
{
    (void)state;
    start(2);
    fail_down(0);
    loop.now_us += SECOND;
    struct backend *b = pick(&unsafe);
    assert_ptr_equal(b, member(1));
    give(b, VERDICT_OK, 1000);
    loop.now_us += SECOND;
    b = pick(&unsafe);
    assert_ptr_equal(b, member(0));
    give(b, VERDICT_OK, 1000);
    pool_fini(&pool);
}

static void test_pauses_double_up_to_the_longest(void **state)
{
    (void)state;
    static const uint32_t pauses_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    start(2);
    fail_down(0);
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        loop.now_us += pauses_s[i] * SECOND - 1000;
        struct backend *b = pick(&safe);
        assert_ptr_equal(b, member(1));
        give(b, VERDICT_OK, 1000);
        loop.now_us += 1000;
        b = pick(&safe);
        assert_ptr_equal(b, member(0));
        give(b, VERDICT_FAIL, 0);
        assert_int_equal(member(0)->state, BACKEND_DOWN);
    }
    pool_fini(&pool);
}

static void test_a_trial_that_shows_nothing_lets_another_try(void **state)
{
    (void)state;
    start(2);
    fail_down(0);
    loop.now_us += SECOND;
    struct backend *b = pick(&safe);
    assert_ptr_equal(b, member(0));
    give(b, VERDICT_NONE, 0); /* its client has gone */
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    b = pick(&safe);
    assert_ptr_equal(b, member(0));
    give(b, VERDICT_OK, 1000);
    pool_fini(&pool);
}

static void test_an_old_answer_does_not_bring_a_backend_back(void **state)
{
    (void)state;
    start(2);
    take(member(0));
    uint64_t begun_us = loop.now_us;
    loop.now_us += SECOND;
    fail_down(0);
    const struct pool_outcome o = {VERDICT_OK, 1000, begun_us};
    pool_release(&pool, member(0), 0, &o);
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    pool_fini(&pool);
}

/* ---- all down ---- */

static void test_with_all_down_they_are_asked_all_the_same(void **state)
{
    (void)state;
    start(2);
    fail_down(0);
    fail_down(1);
    struct backend *b = pick(&safe);
    assert_non_null(b);
    give(b, VERDICT_OK, 1000);
    assert_int_equal(b->state, BACKEND_UP);
    pool_fini(&pool);
}

static void test_or_requests_are_refused(void **state)
{
    (void)state;
    struct backend *b;
    start(2);
    conf.all_down = ALL_DOWN_REFUSE;
    fail_down(0);
    fail_down(1);
    assert_int_equal(pool_pick(&pool, 0, &safe, &b), PICK_DOWN);
    loop.now_us += SECOND;
    assert_non_null(pick(&safe)); /* a trial */
    assert_non_null(pick(&safe)); /* the other one's */
    assert_int_equal(pool_pick(&pool, 0, &safe, &b), PICK_DOWN);
    give(member(0), VERDICT_OK, 1000);
    give(member(1), VERDICT_OK, 1000);
    assert_int_equal(pool.up, 2);
    pool_fini(&pool);
}

/* ---- ejection ---- */

static void test_too_many_errors_eject(void **state)
{
    (void)state;
    start(3);
    conf.eject_errors = 50;
    for (int i = 0; i < 19; i++)
        ask(0, i % 2 ? VERDICT_OK : VERDICT_ERROR);
    assert_int_equal(member(0)->state, BACKEND_UP);
    ask(0, VERDICT_ERROR);
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    assert_int_equal(member(0)->counts.ejections, 1);
    pool_fini(&pool);
}

static void test_a_fault_that_all_share_ejects_no_more_than_the_share(void **state)
{
    (void)state;
    start(4);
    conf.eject_errors = 50;
    for (int i = 0; i < 30; i++)
        for (int k = 0; k < 4; k++)
            ask(k, VERDICT_ERROR);
    assert_int_equal(pool.up, 2);
    pool_fini(&pool);
}

static void test_too_slow_ejects(void **state)
{
    (void)state;
    start(3);
    conf.eject_latency_ms = 100;
    for (int i = 0; i < 20; i++) {
        take(member(0));
        give(member(0), VERDICT_OK, 150000);
        take(member(1));
        give(member(1), VERDICT_OK, 50000);
    }
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    assert_int_equal(member(1)->state, BACKEND_UP);
    pool_fini(&pool);
}

static void test_a_window_forgets(void **state)
{
    (void)state;
    start(3);
    conf.eject_errors = 50;
    for (int i = 0; i < 100; i++) {
        ask(0, i % 10 ? VERDICT_OK : VERDICT_ERROR);
        loop.now_us += SECOND / 10;
    }
    for (int i = 0; i < 15; i++)
        ask(0, VERDICT_ERROR);
    loop.now_us += 11 * SECOND;
    for (int i = 0; i < 15; i++)
        ask(0, VERDICT_ERROR);
    assert_int_equal(member(0)->state, BACKEND_UP);
    pool_fini(&pool);
}

/* ---- probes ---- */

static void test_probes_decide_where_they_run(void **state)
{
    (void)state;
    start(2);
    loop.now_us = loop_clock_us();
    pool_probe(&pool, member(0), true);
    pool_probed(&pool, member(0), false, "connection refused");
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    loop.now_us += 100 * SECOND;
    struct backend *b = pick(&safe); /* no trial by requests */
    assert_ptr_equal(b, member(1));
    give(b, VERDICT_OK, 1000);
    pool_probed(&pool, member(0), true, "its probes succeed");
    assert_int_equal(member(0)->state, BACKEND_UP);
    pool_fini(&pool);
}

static void test_a_good_probe_does_not_shorten_the_pause_after_failures(void **state)
{
    (void)state;
    start(2);
    loop.now_us = loop_clock_us();
    pool_probe(&pool, member(0), true);
    conf.fail_backoff_ms = 60000;
    fail_down(0);
    pool_probed(&pool, member(0), true, "its probes succeed");
    assert_int_equal(member(0)->state, BACKEND_DOWN);
    pool_fini(&pool);
}

static void test_what_the_operator_says_counts_more(void **state)
{
    (void)state;
    static const char text[] = "127.0.0.1:1";
    start(2);
    pool_probe(&pool, member(0), true);
    assert_int_equal(pool_drain(&pool, slice_str(text)), 0);
    pool_probed(&pool, member(0), false, "x");
    pool_probed(&pool, member(0), true, "y");
    assert_int_equal(member(0)->state, BACKEND_DRAINING);
    pool_probed(&pool, member(0), false, "x");
    assert_int_equal(pool_enable(&pool, slice_str(text)), 0);
    assert_int_equal(member(0)->state, BACKEND_DOWN); /* enabled, but it does not work */
    assert_int_equal(pool_enable(&pool, SLICE("127.0.0.1:9")), -ENOENT);
    pool_fini(&pool);
}

/* ---- retries ---- */

static void test_retries_have_a_budget(void **state)
{
    (void)state;
    struct demand again = {.class = QUEUE_NORMAL, .is_again = true, .is_retry = true};
    struct backend *b;
    uint32_t retries = 0;
    start(2);
    conf.retry_budget = 20;
    for (;; retries++) {
        if (pool_pick(&pool, 0, &again, &b) == PICK_BUDGET)
            break;
        give(b, VERDICT_OK, 1);
        backend_unref(b);
    }
    assert_int_equal(retries, 100); /* what there is to begin with */
    for (int i = 0; i < 50; i++)
        give(pick(&safe), VERDICT_OK, 1);
    for (retries = 0; pool_pick(&pool, 0, &again, &b) != PICK_BUDGET; retries++) {
        give(b, VERDICT_OK, 1);
        backend_unref(b);
    }
    assert_int_equal(retries, 10);
    pool_fini(&pool);
}

/* ---- members ---- */

static void test_what_was_removed_is_not_brought_back_by_its_name(void **state)
{
    (void)state;
    static const char text[] = "127.0.0.1:1";
    struct pool_address a = test_address(1);
    start(2);
    assert_int_equal(pool_remove(&pool, slice_str(text)), 0);
    assert_int_equal(pool.count, 1);
    pool_set_addresses(&pool, &lines[0], &a, 1);
    assert_int_equal(pool.count, 1);
    const struct pool_new new = {.address = a};
    assert_int_equal(pool_add(&pool, &new), 0);
    assert_int_equal(pool_add(&pool, &new), -EEXIST);
    assert_int_equal(pool.count, 2);
    conf.backends = lines;
    conf.backend_count = 2;
    pool_set_conf(&pool, &conf); /* stays */
    assert_int_equal(pool.count, 2);
    assert_int_equal(pool_remove(&pool, slice_str(text)), 0);
    assert_int_equal(pool_remove(&pool, slice_str(text)), -ENOENT);
    assert_int_equal(pool.count, 1);
    pool_fini(&pool);
}

static void test_a_drain_and_a_weight_outlive_that_the_name_loses_the_address(void **state)
{
    (void)state;
    struct pool_address a[2] = {test_address(1), test_address(2)};
    start(2);
    assert_int_equal(pool_drain(&pool, SLICE("127.0.0.1:1")), 0);
    assert_int_equal(pool_set_weight(&pool, SLICE("127.0.0.1:1"), 5), 0);
    for (int round = 0; round < 2; round++) {
        pool_set_addresses(&pool, &lines[0], NULL, 0);
        assert_int_equal(pool.count, 1);
        pool_set_addresses(&pool, &lines[0], a, 1);
        assert_int_equal(member(1)->state, round ? BACKEND_UP : BACKEND_DRAINING);
        assert_int_equal(member(1)->weight, 5);
        assert_int_equal(pool_enable(&pool, SLICE("127.0.0.1:1")), 0);
    }
    assert_int_equal(pool_remove(&pool, SLICE("127.0.0.1:1")), 0); /* forgets the weight */
    const struct pool_new new = {.address = a[0]};
    assert_int_equal(pool_add(&pool, &new), 0);
    assert_int_equal(member(1)->weight, 1);
    pool_fini(&pool);
}

static void test_a_weight_set_at_run_time_outlives_a_configuration(void **state)
{
    (void)state;
    start(2);
    conf.backends = lines;
    conf.backend_count = 2;
    assert_int_equal(pool_set_weight(&pool, SLICE("127.0.0.1:2"), 7), 0);
    pool_set_conf(&pool, &conf);
    assert_int_equal(member(1)->weight, 7);
    assert_int_equal(member(1)->conf_weight, 1);
    pool_fini(&pool);
}

static void test_addresses_are_read_as_they_are_shown(void **state)
{
    (void)state;
    struct pool_address a;
    static const struct slice good[] = {SLICE_INIT("127.0.0.1:80"), SLICE_INIT("[::1]:80"),
                                        SLICE_INIT("unix:/run/app.sock")};
    static const struct slice bad[] = {SLICE_INIT("localhost:80"), SLICE_INIT("127.0.0.1"),
                                       SLICE_INIT(""), SLICE_INIT("127.0.0.1:0")};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pool_parse_address(good[i], &a), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pool_parse_address(bad[i], &a), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_in_a_row_take_a_backend_down),
        cmocka_unit_test(test_failures_far_apart_do_not),
        cmocka_unit_test(test_one_request_is_the_trial_after_the_pause),
        cmocka_unit_test(test_a_request_that_cannot_be_repeated_is_a_trial_only_after_a_while),
        cmocka_unit_test(test_pauses_double_up_to_the_longest),
        cmocka_unit_test(test_a_trial_that_shows_nothing_lets_another_try),
        cmocka_unit_test(test_an_old_answer_does_not_bring_a_backend_back),
        cmocka_unit_test(test_with_all_down_they_are_asked_all_the_same),
        cmocka_unit_test(test_or_requests_are_refused),
        cmocka_unit_test(test_too_many_errors_eject),
        cmocka_unit_test(test_a_fault_that_all_share_ejects_no_more_than_the_share),
        cmocka_unit_test(test_too_slow_ejects),
        cmocka_unit_test(test_a_window_forgets),
        cmocka_unit_test(test_probes_decide_where_they_run),
        cmocka_unit_test(test_a_good_probe_does_not_shorten_the_pause_after_failures),
        cmocka_unit_test(test_what_the_operator_says_counts_more),
        cmocka_unit_test(test_retries_have_a_budget),
        cmocka_unit_test(test_what_was_removed_is_not_brought_back_by_its_name),
        cmocka_unit_test(test_a_drain_and_a_weight_outlive_that_the_name_loses_the_address),
        cmocka_unit_test(test_a_weight_set_at_run_time_outlives_a_configuration),
        cmocka_unit_test(test_addresses_are_read_as_they_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
