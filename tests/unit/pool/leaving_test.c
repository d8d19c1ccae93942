/* A pool that no configuration has any more: how its connections go, and when its memory may.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "pool/conn.h"

enum { CONNS = 500, PER_TURN_MAX = 64, TURNS_MAX = 100000 };

static struct loop loop;
static struct pool pool;
static struct pool_conf conf;
static struct backend_conf line;
static struct pool_address address;
static char text[32];
static int listener;
static struct demand demand;
static bool is_gone;

/* ---- a pool, and who uses it ---- */

static void start(uint32_t max_conns)
{
    address = test_address(0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address.sa, address.len), 0);
    assert_int_equal(listen(listener, 4096), 0); /* nobody need accept */
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address.sa, &address.len), 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u",
             ntohs(((const struct sockaddr_in *)&address.sa)->sin_port));
    conf = test_conf(BALANCE_ROUND_ROBIN);
    line = (struct backend_conf){.text = slice_str(text), .weight = 1, .max_conns = max_conns};
    conf.backends = &line;
    conf.backend_count = 1;
    conf.keep_idle = CONNS;
    is_gone = false;
    assert_int_equal(loop_init(&loop), 0);
    pool_init(&pool, &conf, 1);
    pool_set_loop(&pool, 0, &loop);
    pool_set_addresses(&pool, &line, &address, 1);
}

static void stop(void)
{
    loop_drain(&loop);
    pool_fini(&pool);
    loop_fini(&loop);
    close(listener);
}

static void on_event(void *owner)
{
    (void)owner;
}

static struct conn *dial(void)
{
    static const struct conn_owner owner = {.on_ready = on_event, .on_due = on_event};
    struct backend *b;
    int error;
    assert_int_equal(pool_pick(&pool, 0, &demand, &b), PICK_DIAL);
    struct conn *c = conn_dial(&loop, b, &pool, 0, 0, &owner, &error);
    assert_non_null(c);
    return c;
}

static void on_pool_gone(struct pool *p)
{
    assert_ptr_equal(p, &pool);
    is_gone = true;
}

/* ---- turns ---- */

struct watcher {
    struct deferred turn;
    uint32_t turns, open; /* connections before the first of them */
    uint64_t begin;       /* turns of the loop: a long one leaves us to the next */
    bool (*is_enough)(void);
};

static uint64_t loop_turns(void)
{
    struct hist_sum sum = {0};
    hist_read(&loop.turns, &sum);
    return sum.count;
}

static void on_turn(struct deferred *d)
{
    struct watcher *w = container_of(d, struct watcher, turn);
    uint64_t turns = loop_turns() - w->begin + 1;
    if (pool.open < w->open)
        assert_true(w->open - pool.open <= turns * PER_TURN_MAX);
    assert_true(++w->turns < TURNS_MAX);
    if (w->is_enough())
        loop_stop(&loop);
    else
        loop_defer(&loop, d);
}

static struct watcher run_until(bool (*is_enough)(void))
{
    struct watcher w = {.open = pool.open, .begin = loop_turns(), .is_enough = is_enough};
    deferred_init(&w.turn, on_turn);
    loop_defer(&loop, &w.turn);
    loop.stopping = false;
    loop_run(&loop);
    return w;
}

static bool are_standing(void)
{
    static struct conn *conns[CONNS];
    static uint32_t count;
    if (pool.open == 0)
        for (count = 0; count < CONNS; count++)
            conns[count] = dial();
    for (uint32_t i = 0; i < count; i++)
        if (!conns[i]->stream.writable)
            return false;
    for (uint32_t i = 0; i < count; i++)
        conn_give(conns[i]);
    return true;
}

static bool is_empty(void)
{
    return pool.open == 0;
}

static bool has_ended(void)
{
    return is_gone;
}

/* ---- tests ---- */

/* Hundreds of idle connections do not keep the worker from what else there is to do. */
static void test_connections_are_closed_some_in_each_turn(void **state)
{
    (void)state;
    start(0);
    run_until(are_standing);
    assert_int_equal(pool.idle, CONNS);
    uint32_t before = pool.open;
    pool_retire(&pool, 0);
    assert_in_range(before - pool.open, 1, PER_TURN_MAX);
    run_until(is_empty);
    assert_int_equal(pool.idle, 0);
    stop();
}

static void test_a_backend_that_leaves_takes_them_along_in_the_same_way(void **state)
{
    (void)state;
    start(0);
    run_until(are_standing);
    pool_set_addresses(&pool, &line, &address, 0);
    run_until(is_empty);
    assert_true(list_is_empty(&pool.gone));
    stop();
}

/* A name that loses its address for a moment, or an operator who changes his mind. */
static void test_a_backend_that_comes_back_has_the_connections_it_had(void **state)
{
    (void)state;
    for (int is_removed = 0; is_removed < 2; is_removed++) {
        struct backend *b;
        start(1);
        struct conn *c = dial();
        const struct pool_new again = {.address = address, .max_conns = 1};
        if (is_removed)
            assert_int_equal(pool_remove(&pool, slice_str(text)), 0);
        else
            pool_set_addresses(&pool, &line, &address, 0);
        assert_int_equal(pool_pick(&pool, 0, &demand, &b), PICK_NONE);
        if (is_removed)
            assert_int_equal(pool_add(&pool, &again), 0);
        else
            pool_set_addresses(&pool, &line, &address, 1);
        assert_int_equal(pool.count, 1);
        assert_ptr_equal(pool.backends[0], c->backend);
        assert_int_equal(pool.backends[0]->state, BACKEND_UP);
        assert_true(list_is_empty(&pool.gone));
        assert_int_equal(pool_pick(&pool, 0, &demand, &b), PICK_WAIT);
        conn_close(c);
        conn_close(dial());
        stop();
    }
}

static void test_an_empty_pool_is_gone_at_once(void **state)
{
    (void)state;
    start(0);
    pool_retire(&pool, 0);
    pool_abandon(&pool, &loop, on_pool_gone);
    assert_true(is_gone);
    stop();
}

static void test_a_pool_stays_for_its_last_connection(void **state)
{
    (void)state;
    start(0);
    struct conn *c = dial();
    pool_retire(&pool, 0);
    pool_abandon(&pool, &loop, on_pool_gone);
    conn_close(c);
    assert_false(is_gone); /* it is freed at the end of the turn */
    run_until(has_ended);
    stop();
}

static void on_granted(void *owner, enum grant grant, struct backend *b, struct conn *c)
{
    (void)owner, (void)grant, (void)b, (void)c;
    fail_msg("it waits no longer");
}

/* The last client gives up while the slot is on its way to it. */
static void test_a_pool_stays_for_a_slot_on_its_way_to_nobody(void **state)
{
    (void)state;
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        struct backend *b;
        start(1);
        struct conn *c = dial();
        assert_int_equal(pool_pick(&pool, 0, &demand, &b), PICK_WAIT);
        struct waiter *w = pool_wait(&pool, 0, &demand, &demand, on_granted);
        if (is_kept)
            conn_give(c);
        else
            conn_close(c);
        pool_unwait(w);
        pool_retire(&pool, 0);
        pool_abandon(&pool, &loop, on_pool_gone);
        assert_false(is_gone);
        run_until(has_ended);
        assert_int_equal(pool.open, 0);
        assert_int_equal(pool.idle, 0);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_closed_some_in_each_turn),
        cmocka_unit_test(test_a_backend_that_leaves_takes_them_along_in_the_same_way),
        cmocka_unit_test(test_a_backend_that_comes_back_has_the_connections_it_had),
        cmocka_unit_test(test_an_empty_pool_is_gone_at_once),
        cmocka_unit_test(test_a_pool_stays_for_its_last_connection),
        cmocka_unit_test(test_a_pool_stays_for_a_slot_on_its_way_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
