/* SPDX-License-Identifier: MIT */
#include "proc/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../base/random.h"

/* What the policy has asked for, as text: "start 0, open 0". */
struct world {
    struct policy policy;
    char said[4096];
    uint64_t now_ms;
};

static policy_act_fn act;

static void act(void *ctx, enum policy_verb verb, uint32_t slot, const char *why)
{
    static const char *const verbs[] = {"start", "open", "shut", "term", "kill"};
    struct world *w = ctx;
    size_t n = strlen(w->said);
    assert_non_null(why);
    snprintf(w->said + n, sizeof(w->said) - n, "%s%s %u", n ? ", " : "", verbs[verb], slot);
}

static const struct policy_conf usual = {.min = 1,
                                         .max = 4,
                                         .concurrency = 1,
                                         .idle_ms = 1000,
                                         .start_ms = 500,
                                         .stop_ms = 300,
                                         .drain_ms = 5000,
                                         .backoff_min_ms = 100,
                                         .backoff_max_ms = 400};

static void begin(struct world *w, struct policy_conf conf)
{
    *w = (struct world){.now_ms = 1000000};
    policy_init(&w->policy, &conf, act, w);
}

static void turn(struct world *w, const char *expected)
{
    w->said[0] = '\0';
    policy_turn(&w->policy, w->now_ms);
    assert_string_equal(w->said, expected);
}

static void make_ready(struct world *w, uint32_t slot)
{
    policy_started(&w->policy, slot, w->now_ms);
    policy_ready(&w->policy, slot, w->now_ms);
}

static void load(struct world *w, uint32_t slot, uint32_t busy, uint64_t served)
{
    policy_set_load(&w->policy, slot, busy, served, 0);
}

static void exit_slot(struct world *w, uint32_t slot, bool clean)
{
    policy_exited(&w->policy, slot, clean, w->now_ms);
}

/* With one process, which is ready. */
static void begin_ready(struct world *w, struct policy_conf conf)
{
    begin(w, conf);
    turn(w, "start 0");
    make_ready(w, 0);
}

static void begin_three(struct world *w)
{
    struct policy_conf conf = usual;
    conf.min = 3;
    begin(w, conf);
    turn(w, "start 0, start 1, start 2");
}

/* The second process comes for the first. */
static void replace(struct world *w)
{
    turn(w, "start 1");
    make_ready(w, 1);
    turn(w, "shut 0");
}

static void test_as_many_as_must_be_are_started(void **state)
{
    (void)state;
    struct world w;
    begin_three(&w);
    turn(&w, "");
    make_ready(&w, 0);
    assert_string_equal(w.said, "open 0");
    policy_fini(&w.policy);
}

static void test_those_who_wait_make_it_grow_up_to_the_limit(void **state)
{
    (void)state;
    struct world w;
    begin_ready(&w, usual);
    load(&w, 0, 1, 1);
    policy_set_waiting(&w.policy, 2);
    turn(&w, "start 1, start 2");
    policy_set_waiting(&w.policy, 100);
    turn(&w, "start 3");
    turn(&w, "");
    policy_fini(&w.policy);
}

static void test_those_that_are_too_many_for_long_are_stopped(void **state)
{
    (void)state;
    struct world w;
    begin(&w, usual);
    policy_set_waiting(&w.policy, 3);
    turn(&w, "start 0, start 1, start 2");
    for (uint32_t i = 0; i < 3; i++)
        make_ready(&w, i);
    policy_set_waiting(&w.policy, 0);
    turn(&w, "");
    w.now_ms += 999;
    turn(&w, "");
    w.now_ms += 1;
    turn(&w, "shut 2, shut 1");
    turn(&w, "term 1, term 2");
    exit_slot(&w, 2, true);
    exit_slot(&w, 1, true);
    turn(&w, "");
    assert_int_equal(policy_count(&w.policy, PROC_READY), 1);
    policy_fini(&w.policy);
}

static void test_the_first_comes_on_demand_and_goes_when_idle(void **state)
{
    (void)state;
    struct world w;
    struct policy_conf conf = usual;
    conf.min = 0;
    begin(&w, conf);
    turn(&w, "");
    policy_set_waiting(&w.policy, 1);
    turn(&w, "start 0");
    make_ready(&w, 0);
    policy_set_waiting(&w.policy, 0);
    load(&w, 0, 1, 1);
    turn(&w, "");
    load(&w, 0, 0, 1);
    turn(&w, "");
    w.now_ms += 1000;
    turn(&w, "shut 0");
    turn(&w, "term 0");
    exit_slot(&w, 0, true);
    turn(&w, "");
    assert_true(policy_is_empty(&w.policy));
    policy_fini(&w.policy);
}

static void test_a_process_with_requests_is_not_stopped_before_they_end(void **state)
{
    (void)state;
    struct world w;
    begin_ready(&w, usual);
    load(&w, 0, 1, 1);
    policy_restart(&w.policy);
    replace(&w);
    w.now_ms += 4000;
    turn(&w, "");
    load(&w, 0, 0, 1);
    turn(&w, "term 0");
    w.now_ms += 300;
    turn(&w, "kill 0");
    exit_slot(&w, 0, false);
    turn(&w, "");
    assert_int_equal(w.policy.failures, 0);
    policy_fini(&w.policy);
}

static void test_requests_without_end_do_not_keep_a_process(void **state)
{
    (void)state;
    struct world w;
    begin_ready(&w, usual);
    load(&w, 0, 1, 1);
    policy_restart(&w.policy);
    replace(&w);
    w.now_ms += 5000;
    turn(&w, "term 0");
    policy_fini(&w.policy);
}

static void test_failures_are_followed_by_longer_and_longer_pauses(void **state)
{
    (void)state;
    static const uint32_t pauses[] = {100, 200, 400, 400};
    struct world w;
    begin(&w, usual);
    turn(&w, "start 0");
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        policy_started(&w.policy, 0, w.now_ms);
        assert_true(policy_exited(&w.policy, 0, false, w.now_ms));
        assert_int_equal(w.policy.retry_ms - w.now_ms, pauses[i]);
        w.now_ms += pauses[i] - 1;
        turn(&w, "");
        w.now_ms += 1;
        turn(&w, "start 0");
    }
    make_ready(&w, 0);
    load(&w, 0, 0, 1); /* it has served: all is well */
    turn(&w, "");
    assert_int_equal(w.policy.failures, 0);
    policy_fini(&w.policy);
}

/* It may be one that cannot start: its socket was there, so it was given a request all the same. */
static void test_to_be_given_a_request_shows_nothing_yet(void **state)
{
    (void)state;
    static const uint32_t pauses[] = {100, 200, 400};
    struct world w;
    begin(&w, usual);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        turn(&w, "start 0");
        make_ready(&w, 0);
        load(&w, 0, 1, 1);
        turn(&w, "");
        assert_true(policy_exited(&w.policy, 0, false, w.now_ms));
        assert_int_equal(w.policy.retry_ms - w.now_ms, pauses[i]);
        w.now_ms += pauses[i];
    }
    policy_fini(&w.policy);
}

static void test_after_a_failure_one_is_tried_at_a_time(void **state)
{
    (void)state;
    struct world w;
    begin_three(&w);
    for (uint32_t i = 0; i < 3; i++)
        policy_failed(&w.policy, i, w.now_ms);
    w.now_ms += 1000;
    w.said[0] = '\0';
    policy_turn(&w.policy, w.now_ms);
    assert_int_equal(policy_count(&w.policy, PROC_STARTING), 1);
    policy_fini(&w.policy);
}

static void test_a_slot_left_last_is_used_first(void **state)
{
    (void)state;
    struct world w;
    begin_three(&w);
    for (uint32_t i = 0; i < 3; i++) {
        make_ready(&w, i);
        load(&w, i, 0, 1);
    }
    w.now_ms += 10;
    exit_slot(&w, 1, true);
    turn(&w, "start 1");
    policy_fini(&w.policy);
}

static void test_a_slot_that_requests_wait_for_gets_a_process_though_others_have_room(void **state)
{
    struct world w;
    (void)state;
    begin_ready(&w, usual);
    turn(&w, "");
    policy_set_awaited(&w.policy, 2, true);
    turn(&w, "start 2");
    policy_fini(&w.policy);
}

static void test_no_more_than_the_limit_are_started_for_requests_that_wait_in_slots(void **state)
{
    struct world w;
    struct policy_conf conf = usual;
    (void)state;
    conf.max = 1;
    begin_ready(&w, conf);
    policy_set_awaited(&w.policy, 1, true);
    turn(&w, "");
    policy_fini(&w.policy);
}

static void test_a_process_that_is_not_ready_in_time_is_ended(void **state)
{
    (void)state;
    struct world w;
    begin(&w, usual);
    turn(&w, "start 0");
    policy_started(&w.policy, 0, w.now_ms);
    w.now_ms += 500;
    turn(&w, "term 0, start 1");
    assert_true(policy_exited(&w.policy, 0, true, w.now_ms));
    policy_fini(&w.policy);
}

static void test_processes_are_renewed_for_these_reasons(void **state)
{
    (void)state;
    for (int why = 0; why < 3; why++) {
        struct world w;
        struct policy_conf conf = usual;
        conf.max_requests = why == 0 ? 10 : 0;
        conf.memory_bytes = why == 1 ? 1000 : 0;
        conf.age_ms = why == 2 ? 60000 : 0;
        begin_ready(&w, conf);
        policy_set_load(&w.policy, 0, 0, 9, 1000);
        turn(&w, "");
        policy_set_load(&w.policy, 0, 0, 10, 1001);
        w.now_ms += 60000;
        replace(&w);
        policy_fini(&w.policy);
    }
}

static void test_all_are_stopped(void **state)
{
    (void)state;
    struct world w;
    struct policy_conf conf = usual;
    conf.min = 2;
    begin(&w, conf);
    turn(&w, "start 0, start 1");
    make_ready(&w, 0);
    policy_stop(&w.policy);
    turn(&w, "shut 0");
    turn(&w, "term 0");
    policy_started(&w.policy, 1, w.now_ms);
    turn(&w, "term 1");
    exit_slot(&w, 0, true);
    exit_slot(&w, 1, true);
    turn(&w, "");
    assert_true(policy_is_empty(&w.policy));
    policy_fini(&w.policy);
}

static void test_one_whose_end_is_never_told_does_not_hold_up_the_end_of_all(void **state)
{
    (void)state;
    struct world w;
    struct policy_conf conf = usual;
    conf.min = 2;
    begin(&w, conf);
    turn(&w, "start 0, start 1");
    make_ready(&w, 0); /* of the other nothing is ever heard */
    policy_stop(&w.policy);
    turn(&w, "shut 0");
    turn(&w, "term 0");
    w.now_ms += conf.stop_ms;
    turn(&w, "kill 0");
    w.now_ms += conf.start_ms;
    turn(&w, "term 1");
    w.now_ms += conf.stop_ms;
    turn(&w, "kill 1");
    while (!policy_is_empty(&w.policy)) {
        uint64_t due_ms = policy_turn(&w.policy, w.now_ms);
        assert_in_range(due_ms, w.now_ms + 1, w.now_ms + 10000);
        w.now_ms = due_ms;
        turn(&w, "");
    }
    policy_fini(&w.policy);
}

/* ---- whatever happens, in whatever order ---- */

static void happen(struct world *w, struct random *random, uint32_t slot)
{
    const struct policy_slot *s = &w->policy.slots[slot];
    switch (random_below(random, 6)) {
    case 0:
        if (s->state == PROC_STARTING)
            policy_started(&w->policy, slot, w->now_ms);
        break;
    case 1:
        if (s->state == PROC_STARTING)
            policy_failed(&w->policy, slot, w->now_ms);
        break;
    case 2: policy_ready(&w->policy, slot, w->now_ms); break;
    case 3:
        if (s->state != PROC_FREE && s->state != PROC_STARTING)
            exit_slot(w, slot, random_below(random, 2));
        break;
    case 4:
        if (s->state == PROC_READY || s->state == PROC_DRAINING)
            load(w, slot, (uint32_t)random_below(random, 2), s->served + random_below(random, 3));
        break;
    case 5: policy_set_waiting(&w->policy, (uint32_t)random_below(random, 6)); break;
    }
}

static void check(const struct world *w)
{
    const struct policy *p = &w->policy;
    uint32_t fresh = 0;
    for (uint32_t i = 0; i < p->slot_count; i++) {
        const struct policy_slot *s = &p->slots[i];
        bool serves =
            s->state == PROC_STARTING || s->state == PROC_WARMING || s->state == PROC_READY;
        fresh += serves && !s->renew;
    }
    assert_in_range(fresh, 0, p->conf.max);
}

static void test_limits_hold_whatever_happens(void **state)
{
    (void)state;
    struct random random = {4711};
    for (int round = 0; round < 200; round++) {
        struct world w;
        struct policy_conf conf = usual;
        conf.min = (uint32_t)random_below(&random, 3);
        conf.max_requests = random_below(&random, 2) ? 5 : 0;
        begin(&w, conf);
        for (int step = 0; step < 500; step++) {
            w.now_ms += random_below(&random, 200);
            happen(&w, &random, (uint32_t)random_below(&random, w.policy.slot_count));
            if (random_below(&random, 50) == 0)
                policy_restart(&w.policy);
            w.said[0] = '\0';
            uint64_t due_ms = policy_turn(&w.policy, w.now_ms);
            assert_true(due_ms > w.now_ms);
            check(&w);
        }
        policy_fini(&w.policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_many_as_must_be_are_started),
        cmocka_unit_test(test_those_who_wait_make_it_grow_up_to_the_limit),
        cmocka_unit_test(test_those_that_are_too_many_for_long_are_stopped),
        cmocka_unit_test(test_the_first_comes_on_demand_and_goes_when_idle),
        cmocka_unit_test(test_a_process_with_requests_is_not_stopped_before_they_end),
        cmocka_unit_test(test_requests_without_end_do_not_keep_a_process),
        cmocka_unit_test(test_failures_are_followed_by_longer_and_longer_pauses),
        cmocka_unit_test(test_to_be_given_a_request_shows_nothing_yet),
        cmocka_unit_test(test_after_a_failure_one_is_tried_at_a_time),
        cmocka_unit_test(test_a_slot_left_last_is_used_first),
        cmocka_unit_test(test_a_slot_that_requests_wait_for_gets_a_process_though_others_have_room),
        cmocka_unit_test(test_no_more_than_the_limit_are_started_for_requests_that_wait_in_slots),
        cmocka_unit_test(test_a_process_that_is_not_ready_in_time_is_ended),
        cmocka_unit_test(test_processes_are_renewed_for_these_reasons),
        cmocka_unit_test(test_all_are_stopped),
        cmocka_unit_test(test_one_whose_end_is_never_told_does_not_hold_up_the_end_of_all),
        cmocka_unit_test(test_limits_hold_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
