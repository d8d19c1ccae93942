/* Lanes of shared connections under threads, held against a model.
 *
 * Workers with loops of their own run exchanges that pick, join, dial, wait, give up and leave at
 * random over connections that several of them share, as carrier.c does it: how many lanes one has
 * changes, it takes no more, it breaks, it rests and is woken. The main thread drains, removes and
 * adds backends meanwhile.
 *
 * The model is what each worker knows of its own connections. At any moment the lanes that the pool
 * has for a worker are those its connections offer, less those promised to exchanges that have not
 * come yet. Where nobody gives up, every exchange that waits is served. In the end nothing is left.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "pool/conn.h"
#include "torture.h"

enum { EXCHANGES = 40, LANES_MAX = 5 };

enum state { IDLE, WAITING, WORKING };
enum carrier_state { OPEN, RESTING, LOST };

struct carrier {
    struct list node; /* of the worker's */
    enum carrier_state state;
    struct conn *conn; /* LOST: NULL */
    struct worker *worker;
    struct backend *backend; /* a reference */
    struct list exchanges;
    uint32_t count, offered, max;
    bool is_leaving;
    struct deferred turn, free;
};

struct exchange {
    struct worker *worker;
    enum state state;
    struct demand demand;
    struct waiter *waiter;
    struct carrier *carrier;
    struct list node; /* of the carrier's */
    struct timer timer;
};

struct worker {
    struct hand hand;
    struct list carriers;
    struct exchange exchanges[EXCHANGES];
    uint64_t done, waited, gave_up, joined, granted, missed, woken, lost, looked;
};

static struct worker workers[WORKERS];
static bool is_patient; /* nobody gives up */

static bool happens(struct worker *w, uint32_t one_in)
{
    return random_below(&w->hand.random, one_in) == 0;
}

/* ---- the model ---- */

static void must(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "the model says otherwise: %s\n",
            what); /* on a thread that cmocka does not know */
    abort();
}

/* Promised by the pool, and the exchange has not been told yet. With the lock held. */
static int32_t on_their_way(const struct worker *w, const struct backend *b)
{
    int32_t n = 0;
    for (int i = 0; i < EXCHANGES; i++) {
        const struct waiter *waiter = w->exchanges[i].waiter;
        n += waiter && !waiter->demand && waiter->grant == GRANT_LANE && waiter->backend == b;
    }
    return n;
}

/* What the pool has for this worker is what its connections offer. Exact where nobody gives up:
 * what was on its way to somebody who has gone is nobody's in the model. */
static void compare(struct worker *w)
{
    pool_lock(&pool);
    list_each (node, &w->carriers) {
        const struct backend *b = container_of(node, struct carrier, node)->backend;
        int32_t offered = 0, sharing = 0;
        list_each (other, &w->carriers) {
            const struct carrier *c = container_of(other, struct carrier, node);
            if (c->backend != b)
                continue;
            offered += (int32_t)c->offered;
            sharing += c->state == OPEN;
        }
        int32_t has = b->idle[w->hand.index].lanes + on_their_way(w, b);
        must(!is_patient || has == offered, "lanes of a worker");
        must((int32_t)b->idle[w->hand.index].sharing == sharing, "shared connections of a worker");
        must(b->open <= MAX_CONNS, "connections of a backend");
    }
    pool_unlock(&pool);
    w->looked++;
}

/* ---- carriers: the least of carrier.c ---- */

static void step_later(struct exchange *x)
{
    timer_set(&x->worker->hand.loop, &x->timer, random_below(&x->worker->hand.random, 4));
}

static void become_idle(struct exchange *x)
{
    x->state = IDLE;
    x->worker->done++;
    step_later(x);
}

static uint32_t lanes_wanted(const struct carrier *c)
{
    bool takes = c->state == OPEN && !c->is_leaving;
    return takes && c->max > c->count ? c->max - c->count : 0;
}

static void offer(struct carrier *c)
{
    uint32_t wanted = lanes_wanted(c), offered = c->offered;
    c->offered = wanted;
    if (wanted != offered)
        pool_offer(&pool, c->backend, c->worker->hand.index, (int32_t)(wanted - offered));
}

static void turn_soon(struct carrier *c)
{
    loop_defer(&c->worker->hand.loop, &c->turn);
}

static void stop_taking(struct carrier *c)
{
    if (!c->is_leaving)
        list_remove(&c->conn->idle_node);
    c->is_leaving = true;
}

static void free_if_over(struct carrier *c)
{
    if (c->state == LOST && c->count == 0)
        loop_defer(&c->worker->hand.loop, &c->free);
}

static void free_carrier(struct deferred *d)
{
    struct carrier *c = container_of(d, struct carrier, free);
    list_remove(&c->turn.node);
    list_remove(&c->node);
    backend_unref(c->backend);
    free(c);
}

static void on_closed(void *ctx, bool is_answered)
{
    struct carrier *c = ctx;
    (void)is_answered;
    c->state = LOST;
    c->conn = NULL;
    free_if_over(c);
}

static void leave(struct exchange *x, enum verdict verdict)
{
    struct carrier *c = x->carrier;
    const struct pool_outcome outcome = {.verdict = verdict, .latency_us = 100};
    list_remove(&x->node);
    x->carrier = NULL;
    c->count--;
    uint32_t wanted = lanes_wanted(c), offered = c->offered;
    c->offered = wanted;
    pool_leave(&pool, c->backend, x->worker->hand.index, &outcome, (int32_t)(wanted - offered));
    if (c->state != LOST)
        turn_soon(c);
    free_if_over(c);
    become_idle(x);
}

static void lose(struct carrier *c)
{
    struct list *node;
    c->worker->lost++;
    stop_taking(c);
    offer(c);
    conn_close(c->conn);
    while ((node = list_first(&c->exchanges)))
        leave(container_of(node, struct exchange, node), VERDICT_FAIL);
}

static bool has_ended(struct stream *s)
{
    return s->error || s->reset || s->hup || (s->readable && !stream_is_quiet(s));
}

static void on_ready(void *owner)
{
    struct carrier *c = owner;
    if (has_ended(&c->conn->stream))
        lose(c);
}

static bool on_idle(void *ctx)
{
    const struct carrier *c = ctx;
    return !has_ended(&c->conn->stream);
}

static void on_due(void *owner)
{
    (void)owner;
}

static void on_turn(struct deferred *d)
{
    struct carrier *c = container_of(d, struct carrier, turn);
    if (c->state != OPEN)
        return;
    if (happens(c->worker, 20))
        c->max = random_below(&c->worker->hand.random, LANES_MAX + 1);
    if (happens(c->worker, 40) || (c->max == 0 && c->count == 0))
        stop_taking(c);
    offer(c);
    if (c->count)
        return;
    list_remove(&c->conn->idle_node);
    c->state = RESTING;
    offer(c);
    if (c->is_leaving || !c->conn->stream.writable)
        conn_close(c->conn);
    else
        conn_give(c->conn);
}

static void add_lane(struct carrier *c, struct exchange *x)
{
    x->state = WORKING;
    x->carrier = c;
    list_append(&c->exchanges, &x->node);
    c->count++;
    step_later(x);
}

static void dial(struct exchange *x, struct backend *b)
{
    struct worker *w = x->worker;
    struct carrier *c = mem_zalloc(sizeof(*c));
    *c = (struct carrier){.worker = w, .max = 1 + random_below(&w->hand.random, LANES_MAX)};
    const struct conn_owner owner = {.owner = c, .on_ready = on_ready, .on_due = on_due};
    int error;
    c->backend = backend_ref(b);
    c->conn = conn_dial(&w->hand.loop, b, &pool, w->hand.index, 0, &owner, &error);
    if (!c->conn) {
        backend_unref(c->backend);
        free(c);
        become_idle(x);
        return;
    }
    list_init(&c->exchanges);
    list_init(&c->node);
    list_append(&w->carriers, &c->node);
    deferred_init(&c->turn, on_turn);
    deferred_init(&c->free, free_carrier);
    conn_share(c->conn, on_idle, on_closed, c);
    add_lane(c, x);
    offer(c);
    turn_soon(c);
}

static void wake(struct exchange *x, struct conn *conn)
{
    struct carrier *c = conn->closed_ctx;
    const struct conn_owner owner = {.owner = c, .on_ready = on_ready, .on_due = on_due};
    x->worker->woken++;
    c->state = OPEN;
    conn_own_shared(conn, &owner);
    add_lane(c, x);
    offer(c);
    turn_soon(c);
}

static void begin(struct exchange *x);

static void join(struct exchange *x, struct backend *b)
{
    static const struct pool_outcome nothing;
    struct worker *w = x->worker;
    list_each (node, &b->idle[w->hand.index].shared) {
        struct carrier *c = container_of(node, struct conn, idle_node)->closed_ctx;
        if (!c->offered)
            continue;
        must(c->count < LANES_MAX, "lanes of a connection");
        c->offered--;
        add_lane(c, x);
        backend_unref(b);
        w->joined++;
        return;
    }
    w->missed++; /* it was offered, and is gone */
    pool_leave(&pool, b, w->hand.index, &nothing, 1);
    backend_unref(b);
    become_idle(x);
}

/* ---- exchanges ---- */

static void on_granted(void *owner, enum grant grant, struct backend *b, struct conn *c)
{
    struct exchange *x = owner;
    struct worker *w = x->worker;
    const struct conn_owner conn_owner = {.owner = x, .on_ready = on_due, .on_due = on_due};
    x->waiter = NULL;
    timer_clear(&x->timer);
    w->granted++;
    switch (grant) {
    case GRANT_LANE: join(x, b); return;
    case GRANT_NONE:
    case GRANT_OVERLOAD: become_idle(x); return;
    case GRANT_SLOT: break;
    }
    c = c ? conn_own(c, CONN_TRUST, &conn_owner) : NULL;
    if (!c) {
        dial(x, b);
        return;
    }
    backend_unref(b);
    wake(x, c);
}

static void wait_for_slot(struct exchange *x)
{
    struct worker *w = x->worker;
    x->state = WAITING;
    x->demand.client = random_below(&w->hand.random, 5);
    x->demand.class = QUEUE_HIGH + random_below(&w->hand.random, 3);
    x->waiter = pool_wait(&pool, w->hand.index, &x->demand, x, on_granted);
    w->waited++;
    if (!x->waiter)
        become_idle(x);
    else if (!is_patient && happens(w, 3))
        timer_set(&w->hand.loop, &x->timer, random_below(&w->hand.random, 10));
}

static void begin(struct exchange *x)
{
    struct worker *w = x->worker;
    const struct conn_owner owner = {.owner = x, .on_ready = on_due, .on_due = on_due};
    struct backend *b;
    struct conn *c;
    if (atomic_load(&no_more))
        return;
    x->demand.is_safe = happens(w, 2);
    switch (pool_pick(&pool, w->hand.index, &x->demand, &b)) {
    case PICK_LANE: join(x, b); return;
    case PICK_DIAL: dial(x, b); return;
    case PICK_IDLE:
        c = conn_reuse(b, w->hand.index, happens(w, 2) ? CONN_TRUST : CONN_LOOK, &owner);
        if (c)
            wake(x, c);
        else
            dial(x, b);
        return;
    case PICK_WAIT: wait_for_slot(x); return;
    case PICK_NONE:
    case PICK_DOWN:
    case PICK_BUDGET: become_idle(x); return;
    }
}

static void on_step(struct timer *t)
{
    static const enum verdict verdicts[] = {VERDICT_OK,   VERDICT_OK,   VERDICT_OK, VERDICT_ERROR,
                                            VERDICT_NONE, VERDICT_FAIL, VERDICT_OK, VERDICT_OK};
    struct exchange *x = container_of(t, struct exchange, timer);
    switch (x->state) {
    case IDLE: begin(x); return;
    case WAITING:
        pool_unwait(x->waiter);
        x->waiter = NULL;
        x->worker->gave_up++;
        become_idle(x);
        return;
    case WORKING:
        if (happens(x->worker, 300))
            lose(x->carrier);
        else
            leave(x, verdicts[random_below(&x->worker->hand.random, 8)]);
        return;
    }
}

/* ---- workers ---- */

static bool is_idle(struct hand *h)
{
    struct worker *w = container_of(h, struct worker, hand);
    bool idle = true;
    compare(w);
    for (int i = 0; i < EXCHANGES; i++)
        idle &= w->exchanges[i].state == IDLE;
    return idle;
}

static void start_worker(uint32_t index)
{
    struct worker *w = &workers[index];
    *w = (struct worker){.done = 0};
    hand_init(&w->hand, index, is_idle);
    list_init(&w->carriers);
    for (int i = 0; i < EXCHANGES; i++) {
        struct exchange *x = &w->exchanges[i];
        x->worker = w;
        list_init(&x->node);
        timer_init(&x->timer, on_step);
        timer_set(&w->hand.loop, &x->timer, 0);
    }
}

static void end_worker(struct worker *w)
{
    assert_true(list_is_empty(&w->carriers));
    for (int i = 0; i < EXCHANGES; i++)
        timer_fini(&w->hand.loop, &w->exchanges[i].timer);
    hand_fini(&w->hand);
}

static void torture(int balance, uint32_t pool_max, bool patient)
{
    struct backend_conf line = {.text = SLICE_INIT("a"), .weight = 1, .max_conns = MAX_CONNS};
    struct pool_conf conf = torture_conf(balance, pool_max, &line);
    struct random random = {815 + pool_max};
    conf.queue_target_ms = patient ? 0 : conf.queue_target_ms;
    conf.queue_length = patient ? WORKERS * EXCHANGES : conf.queue_length;
    is_patient = patient;
    start_backends();
    pool_init(&pool, &conf, WORKERS);
    for (uint32_t i = 0; i < WORKERS; i++)
        start_worker(i);
    run_hands(&random, &line);
    for (int i = 0; i < WORKERS; i++)
        end_worker(&workers[i]);
    end_backends();

    struct worker sum = {.done = 0};
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *w = &workers[i];
        sum.done += w->done, sum.waited += w->waited, sum.joined += w->joined;
        sum.granted += w->granted, sum.missed += w->missed, sum.woken += w->woken;
        sum.lost += w->lost, sum.looked += w->looked, sum.gave_up += w->gave_up;
    }
    print_message("%llu exchanges: %llu joined, %llu waited, %llu gave up, %llu woke one, %llu "
                  "found the lane "
                  "gone; %llu connections lost; compared %llu times\n",
                  (unsigned long long)sum.done, (unsigned long long)sum.joined,
                  (unsigned long long)sum.waited, (unsigned long long)sum.gave_up,
                  (unsigned long long)sum.woken, (unsigned long long)sum.missed,
                  (unsigned long long)sum.lost, (unsigned long long)sum.looked);
    assert_true(sum.done > 100 && sum.joined > 10 && sum.waited > 10 && sum.looked > 10);
    check_empty(pool_max);
    pool_fini(&pool);
}

static void test_lanes_are_those_that_connections_offer(void **state)
{
    (void)state;
    torture(BALANCE_ROUND_ROBIN, 0, true);
    torture(BALANCE_LEAST_CONN, POOL_MAX, true);
}

static void test_none_is_lost_with_those_who_give_up(void **state)
{
    (void)state;
    torture(BALANCE_ROUND_ROBIN, 0, false);
    torture(BALANCE_RANDOM_TWO, POOL_MAX, false);
}

/* Fewer connections than workers: who has one must let go of it. */
static void test_a_worker_without_a_connection_gets_one(void **state)
{
    (void)state;
    torture(BALANCE_FIRST, 2, true);
    torture(BALANCE_EWMA, 3, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_are_those_that_connections_offer),
        cmocka_unit_test(test_none_is_lost_with_those_who_give_up),
        cmocka_unit_test(test_a_worker_without_a_connection_gets_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
