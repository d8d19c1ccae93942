/* SPDX-License-Identifier: MIT */
#include "core/carrier.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/exchange.h"
#include "core/worker.h"

enum {
    READS_PER_TURN = 4, /* of up to BUF_LARGE each; then others get their turn */
    WRITES_PER_TURN = 8,
};

/*  CONNECTING  lanes wait for it to stand
 *  OPEN        serves its lanes
 *  IDLE        has no lane and is the pool's
 *  LOST        the connection is gone, lanes are to find out */
enum carrier_state { CONNECTING, OPEN, IDLE, LOST };

struct carrier {
    enum carrier_state state;
    struct conn *conn; /* LOST: NULL */
    struct worker *worker;
    const struct mux *mux;
    struct pool *pool;
    struct backend *backend; /* a reference */
    struct list lanes;
    uint32_t count;   /* of them */
    uint32_t offered; /* lanes the pool has to promise, or has promised */
    struct deferred turn, free;
    bool is_leaving;   /* takes no more lanes, by the peer's wish or ours; ends with the last */
    bool has_answered; /* some lane: it has worked */
    bool is_told;      /* the pool knows that the connection failed */
    bool is_pinged;    /* an answer is waited for */
    uint64_t heard_ms;
    const char *fault; /* LOST: the backend broke this rule */
    int error;         /* LOST: -errno, 0: it has closed */
    _Alignas(16) char mux_state[];
};

static void on_turn(struct deferred *d);

bool carrier_shares(const struct back_codec *codec, const struct pool_conf *conf)
{
    return codec->mux && (!codec->mux->is_optional || conf->multiplex);
}

bool carrier_serves(const struct pool_conf *conf)
{
    const struct back_codec *codec = codec_find(conf->codec);
    return codec && carrier_shares(codec, conf);
}

static void turn_soon(struct carrier *c)
{
    loop_defer(&c->worker->loop, &c->turn);
}

static struct carrier *carrier_of(const struct conn *conn)
{
    return conn->closed_ctx;
}

/* ---- lanes and the pool ---- */

static uint32_t lanes_wanted(const struct carrier *c)
{
    if (c->is_leaving || c->state == IDLE || c->state == LOST)
        return 0;
    const struct pool_conf *conf = c->pool->conf;
    uint32_t max = c->mux->lanes(c->mux_state);
    if (max > conf->keep_streams)
        max = conf->keep_streams;
    return max > c->count ? max - c->count : 0;
}

/* Tells the pool how many lanes are free now. */
static void offer(struct carrier *c)
{
    uint32_t wanted = lanes_wanted(c);
    if (wanted != c->offered)
        pool_offer(c->pool, c->backend, c->worker->index, (int32_t)(wanted - c->offered));
    c->offered = wanted;
}

/* GOAWAY, age, or requests: what is under way goes on. */
static void stop_taking(struct carrier *c)
{
    if (c->is_leaving)
        return;
    c->is_leaving = true;
    list_remove(&c->conn->idle_node);
}

static bool is_worn(const struct carrier *c)
{
    return conn_is_worn(c->conn) || (c->state == OPEN && !c->mux->lanes(c->mux_state));
}

/* Takes no more, if it has served enough or the peer says so; then tells the pool. */
static void look_at_lanes(struct carrier *c)
{
    if (is_worn(c))
        stop_taking(c);
    offer(c);
}

/* ---- the end ---- */

static void free_carrier(struct deferred *d)
{
    struct carrier *c = container_of(d, struct carrier, free);
    list_remove(&c->turn.node);
    c->mux->close(c->mux_state);
    backend_unref(c->backend);
    free(c);
}

static void free_if_over(struct carrier *c)
{
    if (c->state == LOST && c->count == 0)
        loop_defer(&c->worker->loop, &c->free);
}

/* Nothing is under way: the peer is told that this is no failure. */
static void say_goodbye(struct carrier *c)
{
    struct stream *s = &c->conn->stream;
    bool may = (c->state == OPEN || c->state == IDLE) && c->count == 0 && c->mux->goodbye;
    if (!may || s->error || s->eof || s->hup || s->reset)
        return;
    c->mux->goodbye(c->mux_state);
    c->mux->emit(c->mux_state, &c->conn->out);
    stream_flush(s, &c->conn->out);
}

/* The connection is closed, by us or by the pool. */
static void on_closed(void *ctx, bool by_peer)
{
    struct carrier *c = ctx;
    (void)by_peer;
    say_goodbye(c);
    c->state = LOST;
    c->conn = NULL;
    list_each (node, &c->lanes)
        container_of(node, struct lane, node)->conn = NULL;
    free_if_over(c);
}

/* Tells the lanes; each may go at once, or when its client has taken what came before. */
static void run_all(struct carrier *c)
{
    struct list told;
    list_init(&told);
    while (!list_is_empty(&c->lanes)) {
        struct list *node = list_shift(&c->lanes);
        list_append(&told, node);
        exchange_run(container_of(node, struct lane, node)->exchange);
    }
    while (!list_is_empty(&told))
        list_append(&c->lanes, list_shift(&told));
}

static void lose(struct carrier *c, int error, const char *fault)
{
    c->error = error;
    c->fault = fault;
    stop_taking(c);
    offer(c);
    if (c->state == CONNECTING) /* the lanes look at the connection themselves */
        run_all(c);
    conn_close(c->conn);
    run_all(c);
}

/* ---- news ---- */

static void run_news(struct carrier *c)
{
    struct mux_lane *shared;
    while ((shared = c->mux->next(c->mux_state)))
        exchange_run(container_of(shared, struct lane, shared)->exchange);
}

/* Hands out what was read; some may stay, where a lane has no room. */
static void hand_out(struct carrier *c)
{
    struct stream *s = &c->conn->stream;
    struct slice in = stream_bytes(s);
    size_t before = in.n;
    if (!before)
        return;
    c->mux->feed(c->mux_state, &in, s->in);
    stream_consume(s, before - in.n);
    look_at_lanes(c);
    run_news(c);
}

/* Reads and hands out. False: the connection is lost. */
static bool read_some(struct carrier *c)
{
    struct stream *s = &c->conn->stream;
    hand_out(c);
    for (int i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = s->readable ? stream_fill(s) : -EAGAIN;
        if (n == -EAGAIN || n == -ENOBUFS)
            return true;
        if (n <= 0) {
            lose(c, (int)n, c->mux->error(c->mux_state));
            return false;
        }
        c->heard_ms = c->worker->loop.now_ms;
        c->is_pinged = false;
        hand_out(c);
    }
    turn_soon(c);
    return true;
}

/* Sends what is due. False: the connection is lost. */
static bool write_some(struct carrier *c)
{
    struct conn *conn = c->conn;
    for (int i = 0; i < WRITES_PER_TURN; i++) {
        c->mux->emit(c->mux_state, &conn->out);
        run_news(c); /* also of what could not be sent */
        if (chain_is_empty(&conn->out))
            return true;
        if (!stream_flush(&conn->stream, &conn->out)) {
            conn->stream.readable = true; /* what it said before */
            if (read_some(c))
                lose(c, conn->stream.error, NULL);
            return false;
        }
        if (!conn->stream.writable)
            return true; /* the next edge goes on */
    }
    turn_soon(c);
    return true;
}

static void on_ready(void *owner)
{
    struct carrier *c = owner;
    struct stream *s = &c->conn->stream;
    if (c->state == CONNECTING) {
        if (s->error || s->reset) {
            lose(c, s->error, NULL);
        } else if (s->writable) {
            c->state = OPEN;
            run_all(c);
            turn_soon(c);
        }
        return;
    }
    if (read_some(c))
        turn_soon(c);
}

/* ---- between exchanges ---- */

/* An idle connection has something to say; the pool closes it if that is its end. */
static bool on_idle_ready(void *ctx)
{
    struct carrier *c = ctx;
    struct stream *s = &c->conn->stream;
    while (s->readable) {
        ssize_t n = stream_fill(s);
        if (n == -EAGAIN)
            break;
        if (n <= 0)
            return false;
        struct slice in = stream_bytes(s);
        c->mux->feed(c->mux_state, &in, s->in);
        stream_consume(s, stream_bytes(s).n);
    }
    c->mux->emit(c->mux_state, &c->conn->out);
    bool alive = !s->hup && stream_flush(s, &c->conn->out);
    return alive && !c->mux->is_over(c->mux_state) && c->mux->lanes(c->mux_state);
}

static void rest(struct carrier *c)
{
    struct conn *conn = c->conn;
    list_remove(&conn->idle_node);
    bool is_useless = c->is_leaving || c->state == CONNECTING;
    c->state = IDLE;
    offer(c);
    timer_clear(&conn->timer);
    if (is_useless)
        conn_close(conn);
    else
        conn_give(conn);
}

static void set_ping(struct carrier *c)
{
    uint32_t ms = c->pool->conf->keep_ping_ms;
    if (ms && c->mux->ping && !c->conn->timer.due_ms)
        timer_set(&c->worker->loop, &c->conn->timer, ms);
}

static void on_due(void *owner)
{
    struct carrier *c = owner;
    uint64_t quiet_ms = c->worker->loop.now_ms - c->heard_ms;
    uint32_t ms = c->pool->conf->keep_ping_ms;
    timer_clear(&c->conn->timer);
    if (c->state == CONNECTING || quiet_ms + 1 < ms) {
        turn_soon(c);
        return;
    }
    if (c->is_pinged) {
        log_warn(0, "pool " SLICE_FMT " backend %s: no answer to a PING (keep-alive ping)",
                 SLICE_ARG(c->pool->conf->name), c->backend->text);
        lose(c, -ETIMEDOUT, NULL);
        return;
    }
    c->is_pinged = true;
    c->mux->ping(c->mux_state);
    turn_soon(c);
}

static void on_turn(struct deferred *d)
{
    struct carrier *c = container_of(d, struct carrier, turn);
    if (c->state == LOST || c->state == IDLE)
        return;
    if (c->state != CONNECTING) {
        if (!read_some(c) || !write_some(c))
            return;
        if (c->mux->is_over(c->mux_state)) {
            lose(c, 0, c->mux->error(c->mux_state));
            return;
        }
    }
    look_at_lanes(c);
    if (c->count == 0)
        rest(c);
    else
        set_ping(c);
}

/* ---- lanes ---- */

static void on_lane_due(struct timer *t)
{
    attempt_on_due(container_of(t, struct lane, own_timer)->exchange);
}

static void add_lane(struct carrier *c, struct exchange *x)
{
    struct lane *l = &x->attempt.lane;
    struct buf_pool *bufs = &c->worker->loop.bufs;
    size_t window = c->worker->snapshot->gateway.window;
    *l = (struct lane){
        .conn = c->conn,
        .carrier = c,
        .exchange = x,
        .timer = &l->own_timer,
        .outcome = &l->own_outcome,
        .own_outcome = {.begun_us = c->worker->loop.now_us},
        .shared = {.arena = &x->arena, .limits = &c->worker->limits},
        .out = &l->shared.out,
        .state = arena_zalloc(&x->arena, x->attempt.codec->state_bytes),
    };
    l->shared.state = l->state;
    chain_init(&l->shared.in, bufs, window);
    chain_init(&l->shared.out, bufs, window);
    list_init(&l->shared.news_node);
    list_init(&l->node);
    list_append(&c->lanes, &l->node);
    timer_init(&l->own_timer, on_lane_due);
    c->count++;
    c->mux->join(c->mux_state, &l->shared);
}

void carrier_leave(struct lane *l)
{
    struct carrier *c = l->carrier;
    if (c->state != OPEN && l->own_outcome.verdict == VERDICT_FAIL) {
        if (c->is_told) /* one failure, however many lanes */
            l->own_outcome.verdict = VERDICT_NONE;
        c->is_told = true;
    }
    c->has_answered |= l->own_outcome.latency_us > 0;
    c->mux->leave(c->mux_state, &l->shared);
    chain_clear(&l->shared.in);
    chain_clear(&l->shared.out);
    list_remove(&l->shared.news_node);
    list_remove(&l->node);
    timer_fini(&c->worker->loop, &l->own_timer);
    l->carrier = NULL;
    c->count--;
    uint32_t wanted = lanes_wanted(c);
    pool_leave(c->pool, c->backend, c->worker->index, &l->own_outcome,
               (int32_t)(wanted - c->offered));
    c->offered = wanted;
    if (c->state != LOST)
        turn_soon(c);
    free_if_over(c);
}

bool carrier_dial(struct exchange *x, struct backend *b, struct slice lead, int *error)
{
    struct attempt *at = &x->attempt;
    struct worker *w = x->worker;
    const struct mux *mux = at->codec->mux;
    struct carrier *c = mem_zalloc(sizeof(*c) + mux->state_bytes);
    *c = (struct carrier){.worker = w, .mux = mux, .pool = at->pool, .heard_ms = w->loop.now_ms};
    const struct conn_owner owner = {
        .owner = c, .on_ready = on_ready, .on_due = on_due, .lead = lead};
    c->conn = conn_dial(&w->loop, b, at->pool, w->index, 0, &owner, error);
    if (!c->conn) {
        free(c);
        return false;
    }
    c->backend = backend_ref(b);
    list_init(&c->lanes);
    deferred_init(&c->turn, on_turn);
    deferred_init(&c->free, free_carrier);
    conn_share(c->conn, on_idle_ready, on_closed, c);
    const struct mux_conf conf = {.window = (uint32_t)w->snapshot->gateway.window,
                                  .head_bytes = w->limits.head_bytes,
                                  .unpacked_bytes = at->pool->conf->h2_head_bytes,
                                  .waiting = at->pool->conf->h2_waiting,
                                  .is_secure = at->pool->conf->tls.is_on,
                                  .memory = &b->mux_memory};
    mux->open(c->mux_state, &conf, &w->loop.bufs);
    add_lane(c, x);
    offer(c);
    turn_soon(c);
    return true;
}

void carrier_wake(struct exchange *x, struct conn *conn)
{
    struct carrier *c = carrier_of(conn);
    c->state = OPEN;
    c->heard_ms = c->worker->loop.now_ms;
    c->is_pinged = false;
    conn_own_shared(conn, &(struct conn_owner){.owner = c, .on_ready = on_ready, .on_due = on_due});
    add_lane(c, x);
    offer(c);
    turn_soon(c);
}

bool carrier_join(struct exchange *x, struct backend *b)
{
    uint32_t worker = x->worker->index;
    list_each (node, &b->idle[worker].shared) {
        struct carrier *c = carrier_of(container_of(node, struct conn, idle_node));
        if (!c->offered)
            continue;
        c->offered--;
        c->conn->requests++;
        add_lane(c, x);
        backend_unref(b); /* the connection has its own */
        return true;
    }
    static const struct pool_outcome nothing;
    pool_leave(x->attempt.pool, b, worker, &nothing, 1);
    backend_unref(b);
    return false;
}

bool carrier_stands(const struct carrier *c)
{
    return c->state != CONNECTING;
}

bool carrier_is_leaving(const struct carrier *c)
{
    return c->is_leaving;
}

bool carrier_has_answered(const struct carrier *c)
{
    return c->has_answered;
}

const char *carrier_fault(const struct carrier *c)
{
    return c->fault;
}

size_t carrier_flush(struct lane *l)
{
    size_t n = (size_t)(l->shared.sent_bytes - l->seen_bytes);
    l->seen_bytes = l->shared.sent_bytes;
    if (l->carrier->state != LOST)
        turn_soon(l->carrier);
    else
        chain_clear(l->out);
    return n;
}

void carrier_consume(struct lane *l, size_t n)
{
    chain_drop(&l->shared.in, n);
    if (l->carrier->state != LOST)
        turn_soon(l->carrier);
}

ssize_t carrier_fill(struct lane *l)
{
    return l->carrier->state == LOST ? l->carrier->error : -EAGAIN;
}
