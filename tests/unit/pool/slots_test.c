/* Slots and waiters under threads: what pool.c and conn.c promise, held against what the kernel was
 * asked for.
 *
 * Workers with loops of their own run exchanges that pick, dial, wait, give up, hand back and close
 * at random, while the main thread drains, disables, removes and adds backends, and the backends
 * close idle connections. connect() and close() are wrapped and count: at no moment has a backend
 * more connections than it may have. In the end nobody waits, and nothing is open.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pool/conn.h"
#include "torture.h"

enum { EXCHANGES = 24 };

/* ---- exchanges ---- */

enum state { IDLE, WAITING, CONNECTING, WORKING };

struct worker;
struct exchange {
    struct worker *worker;
    enum state state;
    struct demand demand;
    struct backend *backend; /* of the slot it has */
    struct conn *conn;
    struct waiter *waiter;
    struct timer timer; /* its next step: begin, give up, be done */
};

struct worker {
    struct hand hand;
    struct exchange exchanges[EXCHANGES];
    uint64_t done, waited, gave_up, refused;
};

static struct worker workers[WORKERS];
static atomic_int using[BACKENDS];

static int index_of(const struct backend *b)
{
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)&b->addr)->sin_port);
    for (int i = 0; i < BACKENDS; i++)
        if (ports[i] == port)
            return i;
    abort();
}

static void step_later(struct exchange *x)
{
    timer_set(&x->worker->hand.loop, &x->timer, random_below(&x->worker->hand.random, 3));
}

static void become_idle(struct exchange *x)
{
    x->state = IDLE;
    x->demand.tried.count = 0;
    x->worker->done++;
    step_later(x);
}

static void has_slot(struct exchange *x, struct backend *b)
{
    int now = atomic_fetch_add(&using[index_of(b)], 1) + 1;
    if (now > MAX_CONNS)
        abort();
    x->backend = backend_ref(b);
}

static void leave_slot(struct exchange *x)
{
    atomic_fetch_sub(&using[index_of(x->backend)], 1);
    backend_unref(x->backend);
    x->backend = NULL;
}

static void on_ready(void *owner)
{
    struct exchange *x = owner;
    if (x->state == CONNECTING && x->conn->stream.writable)
        x->state = WORKING;
}

static void on_due(void *owner)
{
    (void)owner;
}

static struct conn_owner owner_of(struct exchange *x)
{
    return (struct conn_owner){.owner = x, .on_ready = on_ready, .on_due = on_due};
}

static void dial(struct exchange *x, struct backend *b)
{
    const struct conn_owner owner = owner_of(x);
    int error;
    x->state = CONNECTING;
    x->conn = conn_dial(&x->worker->hand.loop, b, &pool, x->worker->hand.index, 16, &owner, &error);
    if (x->conn) {
        step_later(x);
        return;
    }
    leave_slot(x);
    become_idle(x);
}

static void use_slot(struct exchange *x, struct backend *b, struct conn *c)
{
    x->conn = c;
    if (!c) {
        dial(x, b);
        return;
    }
    backend_unref(b);
    x->state = WORKING;
    step_later(x);
}

static void on_granted(void *owner, enum grant grant, struct backend *b, struct conn *c)
{
    struct exchange *x = owner;
    const struct conn_owner conn_owner = owner_of(x);
    x->waiter = NULL;
    timer_clear(&x->timer);
    if (grant != GRANT_SLOT) {
        x->worker->refused++;
        become_idle(x);
        return;
    }
    has_slot(x, b);
    use_slot(x, b, c ? conn_own(c, random_below(&x->worker->hand.random, 2), &conn_owner) : NULL);
}

static void wait_for_slot(struct exchange *x)
{
    x->state = WAITING;
    x->demand.client = random_below(&x->worker->hand.random, 5);
    x->demand.class = QUEUE_HIGH + random_below(&x->worker->hand.random, 3);
    x->waiter = pool_wait(&pool, x->worker->hand.index, &x->demand, x, on_granted);
    x->worker->waited++;
    if (!x->waiter)
        become_idle(x);
    else if (random_below(&x->worker->hand.random, 3) == 0)
        timer_set(&x->worker->hand.loop, &x->timer, random_below(&x->worker->hand.random, 10));
}

static void begin(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct conn_owner owner = owner_of(x);
    struct backend *b;
    if (atomic_load(&no_more))
        return;
    x->demand.is_safe = random_below(&w->hand.random, 2);
    bool is_hedge = random_below(&w->hand.random, 8) == 0;
    switch (is_hedge ? pool_hedge(&pool, w->hand.index, &x->demand, &b)
                     : pool_pick(&pool, w->hand.index, &x->demand, &b)) {
    case PICK_IDLE:
        has_slot(x, b);
        x->conn = conn_reuse(b, w->hand.index, random_below(&w->hand.random, 2), &owner);
        x->state = WORKING;
        if (!x->conn)
            dial(x, b);
        else
            step_later(x);
        return;
    case PICK_DIAL:
        has_slot(x, b);
        dial(x, b);
        return;
    case PICK_LANE: fail_msg("nothing is shared here"); return;
    case PICK_WAIT: wait_for_slot(x); return;
    case PICK_NONE:
    case PICK_DOWN:
    case PICK_BUDGET: become_idle(x); return;
    }
}

static void finish(struct exchange *x)
{
    uint32_t how = random_below(&x->worker->hand.random, 100);
    static const enum verdict others[] = {VERDICT_ERROR, VERDICT_NONE, VERDICT_FAIL, VERDICT_OK};
    bool is_other = random_below(&x->worker->hand.random, 4) == 0;
    x->conn->outcome.verdict =
        is_other ? others[random_below(&x->worker->hand.random, 4)] : VERDICT_OK;
    x->conn->outcome.latency_us = 1 + random_below(&x->worker->hand.random, 1000);
    leave_slot(x);
    if (how < 80 && x->state == WORKING)
        conn_give(x->conn);
    else
        conn_close(x->conn);
    x->conn = NULL;
    become_idle(x);
}

static void on_step(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    switch (x->state) {
    case IDLE: begin(x); break;
    case WAITING:
        pool_unwait(x->waiter);
        x->waiter = NULL;
        x->worker->gave_up++;
        become_idle(x);
        break;
    case CONNECTING:
    case WORKING: finish(x); break;
    }
}

/* ---- workers ---- */

static bool is_idle(struct hand *h)
{
    const struct worker *w = container_of(h, struct worker, hand);
    bool idle = true;
    for (int i = 0; i < EXCHANGES; i++)
        idle &= w->exchanges[i].state == IDLE;
    return idle;
}

static void start_worker(uint32_t index)
{
    struct worker *w = &workers[index];
    *w = (struct worker){.done = 0};
    hand_init(&w->hand, index, is_idle);
    for (int i = 0; i < EXCHANGES; i++) {
        struct exchange *x = &w->exchanges[i];
        x->worker = w;
        timer_init(&x->timer, on_step);
        timer_set(&w->hand.loop, &x->timer, 0);
    }
}

static void end_worker(struct worker *w)
{
    for (int i = 0; i < EXCHANGES; i++)
        timer_fini(&w->hand.loop, &w->exchanges[i].timer);
    hand_fini(&w->hand);
}

static void torture(int balance, uint32_t pool_max, uint32_t adaptive_percent)
{
    struct backend_conf line = {.text = SLICE_INIT("a"), .weight = 1, .max_conns = MAX_CONNS};
    struct pool_conf conf = torture_conf(balance, pool_max, &line);
    struct random random = {4711 + pool_max};
    conf.adaptive_percent = adaptive_percent;
    conf.adaptive_min = 1;
    conf.adaptive_max = 2 * MAX_CONNS; /* that of the line holds all the same */
    conf.adaptive_measure_ms = 100;
    start_backends();
    pool_init(&pool, &conf, WORKERS);
    for (uint32_t i = 0; i < WORKERS; i++)
        start_worker(i);
    run_hands(&random, &line);
    for (int i = 0; i < WORKERS; i++)
        end_worker(&workers[i]);
    end_backends();

    uint64_t done = 0, waited = 0;
    for (int i = 0; i < WORKERS; i++) {
        done += workers[i].done;
        waited += workers[i].waited;
    }
    print_message("%llu exchanges, %llu waited, at most %d connections\n", (unsigned long long)done,
                  (unsigned long long)waited, atomic_load(&worst_all));
    assert_true(done > 100);
    assert_true(waited > 10);
    for (int i = 0; i < BACKENDS; i++)
        assert_int_equal(atomic_load(&using[i]), 0);
    check_empty(pool_max);
    pool_fini(&pool);
}

static void test_no_backend_ever_has_more_connections_than_it_may(void **state)
{
    (void)state;
    torture(BALANCE_ROUND_ROBIN, 0, 0);
}

static void test_nor_has_the_pool(void **state)
{
    (void)state;
    torture(BALANCE_LEAST_CONN, POOL_MAX, 0);
}

static void test_and_with_the_other_balancers(void **state)
{
    (void)state;
    torture(BALANCE_HASH, POOL_MAX, 0);
    torture(BALANCE_EWMA, 0, 0);
    torture(BALANCE_RANDOM_TWO, POOL_MAX, 0);
    torture(BALANCE_FIRST, POOL_MAX, 0);
}

static void test_nor_where_the_limit_is_found_and_changes(void **state)
{
    (void)state;
    torture(BALANCE_ROUND_ROBIN, 0, 110);
    torture(BALANCE_LEAST_CONN, POOL_MAX, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_backend_ever_has_more_connections_than_it_may),
        cmocka_unit_test(test_nor_has_the_pool),
        cmocka_unit_test(test_and_with_the_other_balancers),
        cmocka_unit_test(test_nor_where_the_limit_is_found_and_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
