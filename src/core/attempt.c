/* SPDX-License-Identifier: MIT */
#include "core/attempt.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "codec/proxy_head.h"
#include "core/carrier.h"
#include "core/cgi_launch.h"
#include "core/exchange.h"
#include "core/relay.h"
#include "core/worker.h"
#include "net/tls.h"

enum { LEFT_OUT_MAX = 100, VACANT_POLL_MS = 50 };

static void forget_tried(struct attempt *at)
{
    for (uint32_t i = 0; i < at->demand.tried.count; i++)
        backend_unref(at->demand.tried.backends[i]);
    at->demand.tried.count = 0;
}

void attempt_fini(struct attempt *at, uint32_t worker)
{
    chain_clear(&at->replay);
    forget_tried(at);
    if (at->backend)
        backend_unuse(at->backend, worker);
}

void attempt_init(struct attempt *at, struct pool *pool, const struct back_codec *codec)
{
    forget_tried(at);
    if (at->count) /* of another route's pool, before an internal redirect */
        *at = (struct attempt){.backend = at->backend, .replay = at->replay};
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

void attempt_on_due(struct exchange *x)
{
    if (x->state == EX_CONNECT)
        attempt_fail(x, FAIL_TIMEOUT,
                     tls_is_shaking(&x->attempt.lane.conn->stream)
                         ? "the TLS handshake did not end in time (timeout connect)"
                         : "could not connect in time (timeout connect)",
                     NULL);
    else
        relay_on_due(x);
    exchange_run(x);
}

static void on_due(void *owner)
{
    attempt_on_due(owner);
}

static void remember(struct attempt *at, struct backend *b, uint32_t worker)
{
    struct backend *before = at->backend;
    at->backend = backend_use(b, worker);
    if (before)
        backend_unuse(before, worker);
}

/* A process of ours that broke off is asked again, or one that is started in its place; one that
 * cannot be connected to has ended, even if nobody has noticed yet. */
static void add_tried(struct attempt *at, enum attempt_failure failure)
{
    struct tried *tried = &at->demand.tried;
    bool is_own = at->pool->is_grown;
    at->is_own_end = is_own && (failure == FAIL_CONNECT || failure == FAIL_BROKEN);
    if (!(is_own && failure != FAIL_CONNECT) && tried->count < TRIED_MAX)
        tried->backends[tried->count++] = backend_ref(at->backend);
}

static void note_failure(struct exchange *x, enum attempt_failure failure, const char *why,
                         const char *rule)
{
    x->attempt.status = failure == FAIL_TIMEOUT   ? 504
                        : failure == FAIL_REFUSED ? 503
                        : failure == FAIL_STATUS  ? x->resp.status
                                                  : 502;
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
    return (struct conn_owner){.owner = x, .on_ready = on_ready, .on_due = on_due};
}

/* For a request that may be sent twice a stale connection only costs another attempt. Where a
 * process serves one connection after the other it may be about to end with this one, as PHP does
 * after its share of requests; a fresh connection waits for the next process instead. */
static enum conn_trust trust_of(const struct exchange *x)
{
    if (method_is_idempotent(x->req.method))
        return x->attempt.fresh_only ? CONN_LOOK : CONN_TRUST;
    return x->attempt.codec->holds_process ? CONN_DOUBT : CONN_LOOK;
}

static void begin(struct exchange *x, const char *why)
{
    x->attempt.reused = true;
    relay_begin(x);
    exchange_enter(x, EX_RELAY, why);
    hedge_arm(x);
}

static void await_connection(struct exchange *x, const char *why)
{
    x->attempt.reused = false;
    timer_set(&x->worker->loop, x->attempt.lane.timer,
              attempt_limit_ms(x, x->attempt.pool->conf->connect_ms));
    exchange_enter(x, EX_CONNECT, why);
    hedge_arm_race(x);
}

/* Whether its connections are shared with other exchanges (carrier.h). */
static bool shares(const struct attempt *at)
{
    return carrier_shares(at->codec, at->pool->conf);
}

/* What the backend is told of the client before all else. */
static struct slice lead_of(const struct exchange *x, char buf[PROXY_PUT_MAX])
{
    struct sockaddr_storage server;
    int version = x->attempt.pool->conf->proxy_version;
    if (!version)
        return SLICE_NONE;
    const struct sockaddr *client = x->asker.len ? &x->asker.sa : x->peer;
    bool is_known = x->front->local(x, &server) > 0;
    return slice_of(buf, proxy_head_put(buf, version, is_known ? client : NULL,
                                        (const struct sockaddr *)&server));
}

/* A connection for this request alone, which is no more than a head. */
static bool writes_once(const struct exchange *x)
{
    return !x->attempt.pool->conf->keep_idle && x->req_framing.kind == BODY_NONE && !x->upgrade.n;
}

/* A connection of its own, or the first lane of one to be shared. */
static bool open_lane(struct exchange *x, struct backend *b, int *error)
{
    struct attempt *at = &x->attempt;
    char lead[PROXY_PUT_MAX];
    struct conn_owner owner = owner_of(x);
    owner.lead = lead_of(x, lead);
    owner.writes_once = writes_once(x);
    if (shares(at))
        return carrier_dial(x, b, owner.lead, error);
    bool is_program = b->addr.ss_family == AF_UNSPEC;
    struct conn *c = is_program ? cgi_launch(x, b, &owner, error)
                                : conn_dial(&x->worker->loop, b, at->pool, x->worker->index,
                                            at->codec->state_bytes, &owner, error);
    if (c)
        lane_set_conn(&at->lane, c);
    if (c && !is_program)
        conn_look(c);
    return c;
}

/* Nobody is there to be asked, and somebody is about to: the request waits as for a slot, and then
 * looks again. False: it cannot, or has waited for long enough. */
static bool await_others(struct exchange *x, const char *why)
{
    struct attempt *at = &x->attempt;
    struct loop *l = &x->worker->loop;
    if (x->state == EX_WAIT_SLOT)
        exchange_enter(x, EX_PICK, why);
    if (x->state != EX_PICK)
        return false;
    at->vacant_us = at->vacant_us ? at->vacant_us : l->now_us;
    if (l->now_us - at->vacant_us >= x->serve->queue_ms * UINT64_C(1000))
        return false;
    x->wait_us = x->wait_us ? x->wait_us : l->now_us;
    timer_set(l, &x->timer, attempt_limit_ms(x, VACANT_POLL_MS));
    exchange_enter(x, EX_WAIT_SLOT, why);
    return true;
}

/* The spawner has died, and another is about to take its place. */
static bool await_spawner(struct exchange *x)
{
    bool waits = await_others(x, "nobody to start the program");
    x->attempt.count -= waits;
    return waits;
}

/* So many of our processes have ended at once that nobody knows which is left: the news of it are
 * on their way. */
static bool await_news(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (!at->pool->is_grown || at->demand.tried.count < TRIED_MAX ||
        !await_others(x, "its processes have ended"))
        return false;
    forget_tried(at);
    return true;
}

/* Counts an attempt that has asked nobody, for no longer than a request may wait for a slot: of an
 * application that cannot start, each of its processes ends before it is asked. */
static void leave_out(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    uint64_t now_us = x->worker->loop.now_us;
    if (!at->left_out)
        at->left_out_us = now_us;
    at->left_out +=
        at->left_out < LEFT_OUT_MAX && now_us - at->left_out_us < x->serve->queue_ms * 1000ULL;
}

/* A process of ours that cannot be reached has ended: nobody has been asked. */
static void note_unreached(struct exchange *x, enum attempt_failure failure)
{
    struct attempt *at = &x->attempt;
    if (at->pool->is_grown && failure == FAIL_CONNECT && at->demand.tried.count < TRIED_MAX)
        leave_out(x);
}

/* Opens a connection, with a slot and a reference of b. False: it failed at once. */
static bool dial(struct exchange *x, struct backend *b)
{
    struct attempt *at = &x->attempt;
    int error;
    if (open_lane(x, b, &error)) {
        await_connection(x, "connecting");
        return true;
    }
    if (error == -ENOTCONN && at->backend->addr.ss_family == AF_UNSPEC && await_spawner(x))
        return true;
    note_failure(x, FAIL_CONNECT, attempt_connect_why(x, error), NULL);
    if (at->backend->addr.ss_family == AF_UNSPEC)
        at->status = cgi_launch_status(error, &at->why);
    stats_attempt_failed(x, FAIL_CONNECT);
    log_failure(x);
    note_unreached(x, FAIL_CONNECT);
    add_tried(at, FAIL_CONNECT);
    return await_news(x);
}

static void start_with(struct exchange *x, struct backend *b)
{
    x->attempt.count++;
    x->attempt.sent = false;
    x->dial_us = x->worker->loop.now_us;
    remember(&x->attempt, b, x->worker->index);
    stats_attempt(x);
}

/* Makes a connection that was idle the exchange's; NULL (it was dead) stays NULL. */
static bool use_conn(struct exchange *x, struct conn *c)
{
    if (c && c->on_idle)
        carrier_wake(x, c);
    else if (c)
        lane_set_conn(&x->attempt.lane, c);
    return c;
}

/* An idle connection was promised: takes it, or dials in its place. */
static bool reuse(struct exchange *x, struct backend *b)
{
    const struct conn_owner owner = owner_of(x);
    if (!use_conn(x, conn_reuse(b, x->worker->index, trust_of(x), &owner)))
        return dial(x, b);
    begin(x, "connection reused");
    return true;
}

/* A lane of a connection that is shared was promised. It may be gone: then another is picked. */
static void join(struct exchange *x, struct backend *b)
{
    struct attempt *at = &x->attempt;
    if (!carrier_join(x, b)) {
        at->count--;
        if (x->state != EX_PICK)
            exchange_enter(x, EX_PICK, "the shared connection is gone");
    } else if (lane_connect_result(&at->lane) == -EINPROGRESS) {
        await_connection(x, "sharing a connection to come");
    } else {
        begin(x, "sharing a connection");
    }
}

/* ---- deadlines ---- */

static bool is_overdue(const struct exchange *x)
{
    return x->attempt.deadline_us && x->worker->loop.now_us >= x->attempt.deadline_us;
}

uint64_t attempt_limit_ms(const struct exchange *x, uint32_t ms)
{
    uint64_t deadline_us = x->attempt.deadline_us, now_us = x->worker->loop.now_us;
    if (!deadline_us || x->response != MSG_NONE)
        return ms;
    /* Timers count in whole milliseconds: not one too early, when it is not overdue. */
    uint64_t left_ms = deadline_us > now_us ? (deadline_us + 999) / 1000 - now_us / 1000 : 0;
    return left_ms < ms ? left_ms : ms;
}

/* ---- picking and waiting ---- */

/* One that found its kept connection stale has asked nobody; nor has one that was left out. */
static uint32_t attempts_of(const struct attempt *at)
{
    return at->pool->conf->attempts + at->fresh_only + at->left_out;
}

static void fail_for_good(struct exchange *x)
{
    exchange_fail(x, x->attempt.status, x->attempt.why, x->attempt.rule);
}

/* A slot has become ours, by the worker's loop. */
static void use_slot(struct exchange *x, struct backend *b, struct conn *c)
{
    const struct conn_owner owner = owner_of(x);
    start_with(x, b);
    if (use_conn(x, c ? conn_own(c, trust_of(x), &owner) : NULL)) {
        backend_unref(b); /* the connection has its own */
        begin(x, "slot and connection free");
    } else if (!dial(x, b)) {
        exchange_enter(x, EX_PICK, "cannot connect");
    }
}

static void on_granted(void *ctx, enum grant grant, struct backend *b, struct conn *c)
{
    struct exchange *x = ctx;
    x->attempt.waiter = NULL;
    timer_clear(&x->timer);
    switch (grant) {
    case GRANT_SLOT: use_slot(x, b, c); break;
    case GRANT_LANE:
        start_with(x, b);
        join(x, b);
        break;
    case GRANT_NONE: fail_for_good(x); break;
    case GRANT_OVERLOAD:
        exchange_fail(x, 503, "others are served before it under overload (queue)", NULL);
        break;
    }
    exchange_run(x);
}

static void wait_for_slot(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    at->waiter = pool_wait(at->pool, x->worker->index, &at->demand, x, on_granted);
    if (!at->waiter) {
        exchange_fail(x, 503, "the pool's queue is full (queue length)", NULL);
        return;
    }
    x->wait_us = x->worker->loop.now_us;
    timer_set(&x->worker->loop, &x->timer, attempt_limit_ms(x, x->serve->queue_ms));
    exchange_enter(x, EX_WAIT_SLOT, "no slot free");
}

void attempt_wait_over(struct exchange *x)
{
    if (!x->attempt.waiter && !is_overdue(x)) {
        exchange_enter(x, EX_PICK, "looking again");
        return;
    }
    if (is_overdue(x))
        exchange_fail(x, 504, "no slot became free in time (timeout request)", NULL);
    else
        exchange_fail(x, 503, "no slot became free in time (queue timeout)", NULL);
}

static enum pick pick(struct exchange *x, struct backend **b)
{
    struct attempt *at = &x->attempt;
    uint32_t request_ms = x->serve->request_ms;
    if (at->count == 0 && request_ms)
        at->deadline_us = x->worker->loop.now_us + request_ms * UINT64_C(1000);
    at->demand.is_again = at->count > 0;
    at->demand.is_retry = at->count > 0 && !at->is_stale && !at->is_own_end && !at->vacant_us;
    return pool_pick(at->pool, x->worker->index, &at->demand, b);
}

void attempt_start(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    while (x->state == EX_PICK && at->count < attempts_of(at)) {
        struct backend *b;
        switch (pick(x, &b)) {
        case PICK_IDLE:
            start_with(x, b);
            reuse(x, b);
            continue;
        case PICK_DIAL:
            start_with(x, b);
            dial(x, b);
            continue;
        case PICK_LANE:
            start_with(x, b);
            join(x, b);
            continue;
        case PICK_WAIT: wait_for_slot(x); return;
        case PICK_DOWN:
            if (at->count == 0)
                at->why = "every backend of the pool is down";
            break;
        case PICK_BUDGET:
            log_warn(x->id, "pool " SLICE_FMT ": too many retries, not tried again (retry budget)",
                     SLICE_ARG(at->pool->conf->name));
            break;
        case PICK_NONE:
            if (at->count == 0 && at->demand.named.n)
                at->why = "the pool has no such backend, or it is down (X-Rewrite-Backend)";
            break;
        }
        break;
    }
    if (x->state == EX_PICK)
        fail_for_good(x);
}

const char *attempt_connect_why(struct exchange *x, int error)
{
    return arena_printf(&x->arena, "cannot connect: %s", strerror(-error)).p;
}

const char *attempt_broken_why(struct exchange *x, const char *otherwise)
{
    struct slice why = slice_str(lane_why(&x->attempt.lane));
    return why.n ? arena_dup(&x->arena, why).p : otherwise;
}

void attempt_connected(struct exchange *x)
{
    int rc = lane_connect_result(&x->attempt.lane);
    if (rc < 0 && rc != -EINPROGRESS) {
        attempt_fail(x, FAIL_CONNECT, attempt_broken_why(x, attempt_connect_why(x, rc)), NULL);
    } else if (rc == 0) {
        hedge_end_race(x);
        relay_begin(x);
        exchange_enter(x, EX_RELAY, "connected");
        hedge_arm(x);
    }
}

/* ---- asking two ---- */

void attempt_own(struct exchange *x, struct conn *c)
{
    c->on_ready = on_ready;
    c->on_due = on_due;
    lane_set_conn(&x->attempt.lane, c);
}

void attempt_race(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct backend *b;
    if (pool_race(at->pool, x->worker->index, &at->demand.tried, at->backend, &b) != PICK_DIAL)
        return;
    log_debug(x->id, "pool " SLICE_FMT " backend %s takes long to connect: dialling %s, too",
              SLICE_ARG(at->pool->conf->name), at->backend->text, b->text);
    hedge_begin(x);
    start_with(x, b);
    at->count--; /* nobody is asked before one of them stands */
    if (!dial(x, b))
        hedge_resume(x);
}

void attempt_hedge(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct backend *b;
    struct demand demand = at->demand;
    demand.tried.backends[demand.tried.count % TRIED_MAX] = at->backend;
    demand.tried.count += demand.tried.count < TRIED_MAX;
    enum pick pick = pool_hedge(at->pool, x->worker->index, &demand, &b);
    if (pick != PICK_IDLE && pick != PICK_DIAL)
        return;
    log_info(x->id, "pool " SLICE_FMT " backend %s takes long: asking %s, too (hedge)",
             SLICE_ARG(at->pool->conf->name), at->backend->text, b->text);
    hedge_begin(x);
    start_with(x, b);
    if (pick == PICK_IDLE ? !reuse(x, b) : !dial(x, b))
        hedge_resume(x);
}

/* ---- failing ---- */

/* Whether the pool's configuration wants this to be tried again. */
static bool is_wanted(const struct exchange *x, enum attempt_failure failure)
{
    const struct pool_conf *conf = x->attempt.pool->conf;
    switch (failure) {
    case FAIL_CONNECT: return conf->retry_on & RETRY_CONNECT;
    case FAIL_BROKEN: return conf->retry_on & RETRY_BROKEN;
    case FAIL_TIMEOUT:
        return conf->retry_on & (x->state == EX_CONNECT ? RETRY_CONNECT : RETRY_TIMEOUT);
    case FAIL_PROTOCOL: return conf->retry_on & RETRY_PROTOCOL;
    case FAIL_REFUSED: return true;
    case FAIL_STATUS: return status_set_has(&conf->retry_statuses, x->resp.status);
    }
    return false;
}

/* By a connection that ends (RFC 9113 6.8), while there are others: each that does has served
 * somebody. Or by a process of ours that had ended before: its socket was there still, and whoever
 * waits there when that is closed has been taken by nobody. */
static bool note_left_out(struct exchange *x, enum attempt_failure failure)
{
    const struct attempt *at = &x->attempt;
    bool is_broken = failure == FAIL_BROKEN;
    bool is_left_out = (is_broken && lane_has_worked(&at->lane) && !lane_is_sent(&at->lane)) ||
                       (is_broken && at->pool->is_grown && pool_has_left(at->pool, at->backend)) ||
                       (failure == FAIL_REFUSED && lane_is_leaving(&at->lane));
    if (is_left_out)
        leave_out(x);
    return is_left_out;
}

/* Who has closed his sending side has probably gone: another backend is not bothered for him. A
 * kept connection that had ended before is no reason to let him down. */
static bool is_for_nobody(const struct exchange *x, enum attempt_failure failure)
{
    return x->client_gone && !(failure == FAIL_BROKEN && x->attempt.reused);
}

static bool may_retry(const struct exchange *x, enum attempt_failure failure)
{
    const struct attempt *at = &x->attempt;
    if (x->response != MSG_NONE || is_for_nobody(x, failure) || is_overdue(x) ||
        at->count >= attempts_of(at) || !is_wanted(x, failure))
        return false;
    bool is_sent = (at->sent && !lane_is_unsent(&at->lane)) || lane_is_sent(&at->lane);
    bool harmless = x->state == EX_CONNECT || failure == FAIL_REFUSED || !is_sent ||
                    method_is_idempotent(x->req.method);
    return harmless && at->replay_complete;
}

void attempt_rewind(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    chain_move(&at->replay, &x->req_body, SIZE_MAX);
    chain_move(&x->req_body, &at->replay, SIZE_MAX);
    if (x->request == MSG_PASSED)
        x->request = MSG_COMPLETE;
}

/* What the attempt says of its backend. */
static enum verdict verdict_on(const struct exchange *x, enum attempt_failure failure)
{
    if (failure == FAIL_REFUSED || x->attempt.is_stale || x->resp_framing.kind == BODY_TUNNEL)
        return VERDICT_NONE;
    return failure == FAIL_STATUS && x->resp.status < 500 ? VERDICT_OK
           : failure == FAIL_STATUS                       ? VERDICT_ERROR
                                                          : VERDICT_FAIL;
}

/* A connection that ends is expected to, now and then; an application that goes back on its word
 * (CANT_MPX_CONN of one that said it can) is not. */
static bool is_news(const struct attempt *at, enum attempt_failure failure)
{
    const struct mux *mux = at->codec->mux;
    return !at->is_stale || (failure == FAIL_REFUSED && mux && mux->is_optional);
}

static void give_up(struct exchange *x, enum attempt_failure failure)
{
    struct attempt *at = &x->attempt;
    if (!is_news(at, failure)) {
        log_debug(x->id, "connection to %s was of no use any more, trying another",
                  at->backend->text);
    } else {
        stats_attempt_failed(x, failure);
        log_failure(x);
    }
    at->lane.outcome->verdict = verdict_on(x, failure);
    lane_end(&at->lane, false);
}

void attempt_fail(struct exchange *x, enum attempt_failure failure, const char *why,
                  const char *rule)
{
    struct attempt *at = &x->attempt;
    bool is_left_out = note_left_out(x, failure);
    note_unreached(x, failure);
    bool again = may_retry(x, failure);
    if (failure == FAIL_TIMEOUT && x->response == MSG_NONE && is_overdue(x))
        why = "no response in time, all attempts together (timeout request)";
    note_failure(x, failure, why, rule);
    bool was_there = at->reused || lane_has_worked(&at->lane);
    bool is_lost = cgi_is_lost(at->lane.conn);
    at->is_stale = again && (is_left_out || (failure == FAIL_BROKEN && (was_there || is_lost)));
    give_up(x, failure);
    if (hedge_resume(x))
        return;
    if (!again) {
        exchange_fail(x, at->status, why, rule);
        return;
    }
    if (at->is_stale)
        at->fresh_only = true;
    else
        add_tried(at, x->state == EX_CONNECT ? FAIL_CONNECT : failure);
    attempt_rewind(x);
    exchange_enter(x, EX_PICK, "trying again");
    (void)await_news(x);
}

bool attempt_rejects(struct exchange *x)
{
    if (!status_set_has(&x->attempt.pool->conf->retry_statuses, x->resp.status) ||
        !may_retry(x, FAIL_STATUS))
        return false;
    attempt_fail(x, FAIL_STATUS, "answered with a status that is tried again (retry on)", NULL);
    return true;
}

/* ---- ending ---- */

/* 501 and 505 are about the request. */
static bool is_own_failure(uint16_t status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

/* A response head has come: that is what the pool is told. */
static void note_answer(struct exchange *x)
{
    struct pool_outcome *o = x->attempt.lane.outcome;
    uint64_t latency_us = x->head_us > x->dial_us ? x->head_us - x->dial_us : 1;
    o->verdict = is_own_failure(x->resp.status) ? VERDICT_ERROR : VERDICT_OK;
    o->latency_us = latency_us < UINT32_MAX ? (uint32_t)latency_us : UINT32_MAX;
}

void attempt_finish(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    note_answer(x);
    if (at->lane.conn)
        at->lane.conn->is_answered = true;
    lane_end(&at->lane, at->codec->is_reusable(at->lane.state));
}

void attempt_leave(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    note_answer(x);
    lane_end(&at->lane, false);
}

void attempt_drop(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    hedge_settle(x);
    if (lane_is_open(&at->lane) && x->response != MSG_NONE)
        note_answer(x);
    if (lane_is_open(&at->lane))
        lane_end(&at->lane, false);
    if (at->waiter)
        pool_unwait(at->waiter);
    at->waiter = NULL;
}
