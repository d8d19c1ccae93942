/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../base/random.h"
#include "base/mem.h"
#include "pool/queue.h"

enum { MS = 1000, ENTRIES = 400, STEPS = 20000 };

static struct queue queue;
static struct queue_entry entries[ENTRIES];

static void start(uint32_t max_count, uint32_t target_ms)
{
    queue_init(&queue);
    queue_set_limits(&queue, max_count, target_ms);
    memset(entries, 0, sizeof(entries));
    for (int i = 0; i < ENTRIES; i++)
        list_init(&entries[i].by_age);
}

static bool anybody(const void *ctx, const struct queue_entry *e)
{
    (void)ctx;
    (void)e;
    return true;
}

/* The number of the entry served, or -1. */
static int serve(uint64_t now_us)
{
    struct queue_entry *e = queue_find(&queue, anybody, NULL);
    if (!e)
        return -1;
    queue_serve(&queue, e, now_us);
    return (int)(e - entries);
}

static void add(int i, enum queue_class class, uint64_t client, uint64_t now_us)
{
    queue_add(&queue, &entries[i], class, client, now_us);
}

static void test_first_come_first_served(void **state)
{
    (void)state;
    start(100, 0);
    for (int i = 0; i < 10; i++)
        add(i, QUEUE_NORMAL, 7, (uint64_t)i);
    for (int i = 0; i < 10; i++)
        assert_int_equal(serve(20), i);
    assert_int_equal(serve(20), -1);
}

static void test_classes_go_in_order(void **state)
{
    (void)state;
    start(100, 0);
    add(0, QUEUE_LOW, 1, 0);
    add(1, QUEUE_NORMAL, 1, 1);
    add(2, QUEUE_HIGH, 1, 2);
    add(3, QUEUE_AGAIN, 1, 3);
    for (int i = 3; i >= 0; i--)
        assert_int_equal(serve(20), i);
}

/* One client asks for much: another is served after one of its requests, not after all. */
static void test_clients_take_turns(void **state)
{
    (void)state;
    start(100, 0);
    for (int i = 0; i < 6; i++)
        add(i, QUEUE_NORMAL, 1, 0);
    add(6, QUEUE_NORMAL, 2, 1);
    add(7, QUEUE_NORMAL, 3, 2);
    static const int order[] = {0, 6, 7, 1, 2, 3, 4, 5};
    for (int i = 0; i < 8; i++)
        assert_int_equal(serve(20), order[i]);
}

static void test_who_leaves_is_not_served(void **state)
{
    (void)state;
    start(100, 0);
    for (int i = 0; i < 4; i++)
        add(i, QUEUE_NORMAL, (uint64_t)i, 0);
    queue_remove(&queue, &entries[1]);
    assert_false(queue_has(&entries[1]));
    assert_int_equal(queue.count, 3);
    assert_int_equal(serve(1), 0);
    assert_int_equal(serve(1), 2);
    assert_int_equal(serve(1), 3);
}

static void test_a_burst_is_served_in_order(void **state)
{
    (void)state;
    start(100, 100);
    for (int i = 0; i < 50; i++)
        add(i, QUEUE_NORMAL, 1, 0);
    for (int i = 0; i < 50; i++) { /* the last waits for 99 ms, less than the target */
        assert_false(queue.is_overloaded);
        assert_int_equal(serve((uint64_t)i * 2 * MS), i);
    }
}

static void test_overload_ends_with_the_last_who_gives_up(void **state)
{
    (void)state;
    start(1000, 100);
    add(0, QUEUE_NORMAL, 1, 0);
    for (int i = 1; i < 4; i++)
        add(i, QUEUE_NORMAL, 1, (uint64_t)i * 150 * MS);
    assert_true(queue.is_overloaded);
    for (int i = 0; i < 4; i++)
        queue_remove(&queue, &entries[i]);
    assert_false(queue.is_overloaded);
}

static void test_lasting_overload_serves_the_newest_and_refuses_the_oldest(void **state)
{
    (void)state;
    start(1000, 100);
    for (int i = 0; i < 200; i++)
        add(i, QUEUE_NORMAL, 1, 0);
    assert_int_equal(serve(100 * MS), 0); /* above the target from here on */
    assert_false(queue.is_overloaded);
    assert_null(queue_overdue(&queue, 150 * MS));
    assert_int_equal(serve(200 * MS), 1); /* for as long again */
    assert_true(queue.is_overloaded);
    add(200, QUEUE_NORMAL, 1, 201 * MS);
    assert_int_equal(serve(202 * MS), 200);
    for (int i = 2; i < 200; i++) {
        struct queue_entry *e = queue_overdue(&queue, 203 * MS);
        assert_ptr_equal(e, &entries[i]);
        queue_remove(&queue, e);
    }
    assert_null(queue_overdue(&queue, 203 * MS));
    add(201, QUEUE_NORMAL, 1, 203 * MS);
    assert_false(queue.is_overloaded);
}

static void test_a_full_queue_refuses_the_newcomer(void **state)
{
    (void)state;
    start(2, 0);
    add(0, QUEUE_NORMAL, 1, 0);
    add(1, QUEUE_NORMAL, 1, 1);
    assert_null(queue_victim(&queue, QUEUE_NORMAL));
    assert_null(queue_victim(&queue, QUEUE_LOW));
}

static void test_but_one_of_a_lower_class_for_a_higher(void **state)
{
    (void)state;
    start(3, 0);
    add(0, QUEUE_LOW, 1, 1);
    add(1, QUEUE_LOW, 2, 0);
    add(2, QUEUE_NORMAL, 2, 0);
    assert_ptr_equal(queue_victim(&queue, QUEUE_HIGH), &entries[1]);
    assert_ptr_equal(queue_victim(&queue, QUEUE_NORMAL), &entries[1]);
    assert_null(queue_victim(&queue, QUEUE_LOW));
}

static void test_and_the_oldest_under_overload(void **state)
{
    (void)state;
    start(2, 10);
    add(0, QUEUE_NORMAL, 1, 0);
    add(1, QUEUE_NORMAL, 1, 5 * MS);
    queue_remove(&queue, &entries[1]);
    add(1, QUEUE_NORMAL, 1, 12 * MS);
    queue_remove(&queue, &entries[1]);
    add(1, QUEUE_NORMAL, 1, 30 * MS);
    assert_true(queue.is_overloaded);
    assert_ptr_equal(queue_victim(&queue, QUEUE_NORMAL), &entries[0]);
}

static void test_the_time_to_drain_is_told(void **state)
{
    (void)state;
    start(1000, 0);
    assert_int_equal(queue_drain_s(&queue), 1);
    for (int i = 0; i < 300; i++)
        add(i, QUEUE_NORMAL, 1, 0);
    for (uint64_t i = 1; i <= 200; i++)
        serve(i * 100 * MS);
    assert_in_range(queue_drain_s(&queue), 9, 11); /* 100 left at 10 a second */
}

/* ---- against a model: plain arrays, searched through ---- */

struct model {
    int flow[QUEUE_CLASSES][QUEUE_FLOWS][ENTRIES], count[QUEUE_CLASSES][QUEUE_FLOWS];
    int turns[QUEUE_CLASSES][QUEUE_FLOWS], turn_count[QUEUE_CLASSES];
};

static void model_drop(int *v, int *n, int value)
{
    int kept = 0;
    for (int i = 0; i < *n; i++)
        if (v[i] != value)
            v[kept++] = v[i];
    *n = kept;
}

static void model_add(struct model *m, int class, int flow, int entry)
{
    if (m->count[class][flow]++ == 0)
        m->turns[class][m->turn_count[class]++] = flow;
    m->flow[class][flow][m->count[class][flow] - 1] = entry;
}

static void model_remove(struct model *m, int class, int flow, int entry)
{
    model_drop(m->flow[class][flow], &m->count[class][flow], entry);
    if (m->count[class][flow] == 0)
        model_drop(m->turns[class], &m->turn_count[class], flow);
}

static int model_serve(struct model *m)
{
    for (int c = 0; c < QUEUE_CLASSES; c++) {
        if (m->turn_count[c] == 0)
            continue;
        int flow = m->turns[c][0], entry = m->flow[c][flow][0];
        model_remove(m, c, flow, entry);
        if (m->count[c][flow]) {
            model_drop(m->turns[c], &m->turn_count[c], flow);
            m->turns[c][m->turn_count[c]++] = flow;
        }
        return entry;
    }
    return -1;
}

static void test_random_operations_agree_with_a_model(void **state)
{
    (void)state;
    struct model *m = mem_zalloc(sizeof(*m));
    struct random random = {99};
    int class[ENTRIES], flow[ENTRIES];
    start(ENTRIES, 0);
    for (uint64_t t = 1; t < STEPS; t++) {
        int i = (int)random_below(&random, ENTRIES);
        bool is_in = queue_has(&entries[i]);
        if (random_below(&random, 3) == 0) {
            assert_int_equal(serve(t), model_serve(m));
        } else if (is_in) {
            queue_remove(&queue, &entries[i]);
            model_remove(m, class[i], flow[i], i);
        } else {
            class[i] = (int)random_below(&random, QUEUE_CLASSES);
            flow[i] = (int)random_below(&random, 6);
            add(i, (enum queue_class) class[i], (uint64_t)flow[i], t);
            model_add(m, class[i], flow[i], i);
        }
    }
    while (queue.count)
        assert_int_equal(serve(STEPS), model_serve(m));
    assert_int_equal(model_serve(m), -1);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_classes_go_in_order),
        cmocka_unit_test(test_clients_take_turns),
        cmocka_unit_test(test_who_leaves_is_not_served),
        cmocka_unit_test(test_a_burst_is_served_in_order),
        cmocka_unit_test(test_overload_ends_with_the_last_who_gives_up),
        cmocka_unit_test(test_lasting_overload_serves_the_newest_and_refuses_the_oldest),
        cmocka_unit_test(test_a_full_queue_refuses_the_newcomer),
        cmocka_unit_test(test_but_one_of_a_lower_class_for_a_higher),
        cmocka_unit_test(test_and_the_oldest_under_overload),
        cmocka_unit_test(test_the_time_to_drain_is_told),
        cmocka_unit_test(test_random_operations_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
