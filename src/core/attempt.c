/* SPDX-License-Identifier: MIT */
#include "core/attempt.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "core/cgi_launch.h"
#include "core/exchange.h"
#include "core/relay.h"
#include "core/worker.h"

void attempt_init(struct attempt *at, struct pool *pool, const struct back_codec *codec)
{
    at->pool = pool;
    at->codec = codec;
    at->replay_complete = true;
    at->status = 503;
    at->why = "the pool has no backend";
}

static void on_ready(void *owner)
{
    exchange_run(owner);
}

static void on_due(void *owner)
{
    struct exchange *x = owner;
    if (x->state == EX_CONNECT)
        attempt_fail(x, FAIL_TIMEOUT, "could not connect in time (timeout connect)", NULL);
    else
        relay_on_due(x);
    exchange_run(x);
}

static void remember(struct attempt *at, struct backend *b)
{
    if (at->backend)
        backend_unref(at->backend);
    at->backend = backend_ref(b);
}

/* A process that failed is being replaced in its place: that is not the same backend again. */
static void add_tried(struct attempt *at)
{
    if (!at->pool->on_wait && at->tried.count < TRIED_MAX)
        at->tried.backends[at->tried.count++] = at->backend;
}

static void note_failure(struct exchange *x, enum attempt_failure failure, const char *why,
                         const char *rule)
{
    x->attempt.status = failure == FAIL_TIMEOUT ? 504 : failure == FAIL_REFUSED ? 503 : 502;
    x->attempt.why = why;
    x->attempt.rule = rule;
}

static void log_failure(const struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    log_warn(x->id, "pool " SLICE_FMT " backend %s: %s%s%s%s", SLICE_ARG(at->pool->conf->name),
             at->backend->text, at->why, at->rule ? " [" : "", at->rule ? at->rule : "",
             at->rule ? "]" : "");
}

static struct conn_owner owner_of(struct exchange *x)
{
    return (struct conn_owner){x, on_ready, on_due};
}

/* Before a request that must not be sent twice, a kept connection is looked at with a system call;
 * for others a stale one only costs another attempt. */
static bool must_be_sure(const struct exchange *x)
{
    return !method_is_idempotent(x->req.method);
}

static void begin(struct exchange *x, const char *why)
{
    x->attempt.reused = true;
    relay_begin(x);
    exchange_enter(x, EX_RELAY, why);
}

/* The backend is a program: a process of it is the connection. Takes over slot and reference. */
static struct conn *run_program(struct exchange *x, struct backend *b,
                                const struct conn_owner *owner, int *error)
{
    struct attempt *at = &x->attempt;
    int fd;
    struct cgi_run *run = cgi_launch(x, b, &fd, error);
    if (!run) {
        pool_release(at->pool, b);
        backend_unref(b);
        return NULL;
    }
    struct conn *c = conn_adopt(&x->worker->loop, fd, b, at->pool, x->worker->index,
                                at->codec->state_bytes, owner, error);
    if (c)
        cgi_bind(run, c);
    return c;
}

/* Opens a connection, with a slot and a reference of b. False: it failed at once. */
static bool dial(struct exchange *x, struct backend *b)
{
    struct attempt *at = &x->attempt;
    const struct conn_owner owner = owner_of(x);
    int error;
    at->reused = false;
    at->conn = b->addr.ss_family == AF_UNSPEC
                   ? run_program(x, b, &owner, &error)
                   : conn_dial(&x->worker->loop, b, at->pool, x->worker->index,
                               at->codec->state_bytes, &owner, &error);
    if (at->conn) {
        timer_set(&x->worker->loop, &at->conn->timer, at->pool->conf->connect_ms);
        exchange_enter(x, EX_CONNECT, "connecting");
        return true;
    }
    note_failure(x, FAIL_CONNECT, strerror(-error), NULL);
    if (at->backend->addr.ss_family == AF_UNSPEC)
        at->status = error == -ENOENT ? 404 : error == -EACCES ? 403 : 502;
    stats_attempt_failed(x, FAIL_CONNECT);
    log_failure(x);
    add_tried(at);
    return false;
}

static void start_with(struct exchange *x, struct backend *b)
{
    x->attempt.count++;
    x->attempt.sent = false;
    x->dial_us = x->worker->loop.now_us;
    remember(&x->attempt, b);
    stats_attempt(x);
}

/* An idle connection was promised: takes it, or dials in its place. */
static bool reuse(struct exchange *x, struct backend *b)
{
    struct attempt *at = &x->attempt;
    const struct conn_owner owner = owner_of(x);
    at->conn = conn_reuse(b, x->worker->index, at->fresh_only || must_be_sure(x), &owner);
    if (!at->conn)
        return dial(x, b);
    begin(x, "connection reused");
    return true;
}

/* A slot has become ours, by the worker's loop. */
static void on_granted(void *ctx, struct backend *b, struct conn *c)
{
    struct exchange *x = ctx;
    const struct conn_owner owner = owner_of(x);
    x->attempt.waiter = NULL;
    timer_clear(&x->timer);
    start_with(x, b);
    x->attempt.conn = c ? conn_own(c, must_be_sure(x), &owner) : NULL;
    if (x->attempt.conn) {
        backend_unref(b); /* the connection has its own */
        begin(x, "slot and connection free");
    } else if (!dial(x, b)) {
        exchange_enter(x, EX_PICK, "cannot connect");
    }
    exchange_run(x);
}

static void wait_for_slot(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    const struct pool_conf *conf = at->pool->conf;
    at->waiter = pool_wait(at->pool, x->worker->index, &at->tried, at->count > 0, x, on_granted);
    if (!at->waiter) {
        exchange_fail(x, 503, "the pool's queue is full (queue length)", NULL);
        return;
    }
    x->wait_us = x->worker->loop.now_us;
    timer_set(&x->worker->loop, &x->timer, conf->queue_ms);
    exchange_enter(x, EX_WAIT_SLOT, "no slot free");
}

void attempt_start(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    while (x->state == EX_PICK && at->count < at->pool->conf->attempts) {
        struct backend *b;
        switch (pool_pick(at->pool, x->worker->index, &at->tried, at->count > 0, &b)) {
        case PICK_IDLE:
            start_with(x, b);
            reuse(x, b);
            continue;
        case PICK_DIAL:
            start_with(x, b);
            dial(x, b);
            continue;
        case PICK_WAIT: wait_for_slot(x); return;
        case PICK_NONE: break;
        }
        break;
    }
    if (x->state == EX_PICK)
        exchange_fail(x, at->status, at->why, at->rule);
}

void attempt_connected(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct stream *s = &at->conn->stream;
    int rc = s->reset ? stream_dial_result(s) : 0;
    if (rc < 0) {
        attempt_fail(x, FAIL_CONNECT, strerror(-rc), NULL);
    } else if (s->writable) {
        relay_begin(x);
        exchange_enter(x, EX_RELAY, "connected");
    }
}

static bool may_retry(const struct exchange *x, enum attempt_failure failure)
{
    const struct attempt *at = &x->attempt;
    if (x->response != MSG_NONE || x->client_gone || at->count >= at->pool->conf->attempts)
        return false;
    if (x->state == EX_CONNECT)
        return true;
    if (failure == FAIL_REFUSED)
        return at->replay_complete;
    bool harmless = !at->sent || method_is_idempotent(x->req.method);
    return failure == FAIL_BROKEN && harmless && at->replay_complete;
}

/* What was passed of the body goes back in front of what was not. */
static void rewind_request(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    chain_move(&at->replay, &x->req_body, SIZE_MAX);
    chain_move(&x->req_body, &at->replay, SIZE_MAX);
    if (x->request == MSG_PASSED)
        x->request = MSG_COMPLETE;
}

void attempt_fail(struct exchange *x, enum attempt_failure failure, const char *why,
                  const char *rule)
{
    struct attempt *at = &x->attempt;
    note_failure(x, failure, why, rule);
    bool again = may_retry(x, failure);
    bool stale = failure == FAIL_BROKEN && at->reused && x->response == MSG_NONE;
    if (stale && again) { /* expected now and then: no news */
        log_debug(x->id, "kept connection to %s was stale, trying a fresh one", at->backend->text);
    } else {
        stats_attempt_failed(x, failure);
        log_failure(x);
    }
    conn_close(at->conn);
    at->conn = NULL;
    if (!again) {
        exchange_fail(x, at->status, why, rule);
        return;
    }
    if (stale)
        at->fresh_only = true;
    else
        add_tried(at);
    rewind_request(x);
    exchange_enter(x, EX_PICK, "trying again");
}

void attempt_finish(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (at->codec->is_reusable(at->conn->codec_state) && chain_is_empty(&at->conn->out))
        conn_give(at->conn);
    else
        conn_close(at->conn);
    at->conn = NULL;
}

void attempt_drop(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (at->conn)
        conn_close(at->conn);
    at->conn = NULL;
    if (at->waiter)
        pool_unwait(at->waiter);
    at->waiter = NULL;
}
