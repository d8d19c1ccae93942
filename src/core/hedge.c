/* SPDX-License-Identifier: MIT */
#include "core/hedge.h"

#include <errno.h>

#include "base/log.h"
#include "core/attempt.h"
#include "core/exchange.h"
#include "core/worker.h"

static bool may_hedge(const struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    return at->pool->conf->hedge_ms && !at->hedge.is_done && method_is_safe(x->req.method) &&
           x->req_framing.kind == BODY_NONE && !x->upgrade.n && !at->lane.carrier &&
           at->backend->addr.ss_family != AF_UNSPEC;
}

void hedge_arm(struct exchange *x)
{
    if (may_hedge(x))
        timer_set(&x->worker->loop, &x->timer, x->attempt.pool->conf->hedge_ms);
    else
        timer_clear(&x->timer); /* that of a race */
}

/* Only who had a name to choose from has another address to try; a lane waits for its carrier. */
static bool may_race(const struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    return at->pool->conf->race_ms && !at->hedge.conn && !at->lane.carrier && !at->demand.named.n &&
           (at->backend->addr.ss_family == AF_INET || at->backend->addr.ss_family == AF_INET6);
}

void hedge_arm_race(struct exchange *x)
{
    if (may_race(x))
        timer_set(&x->worker->loop, &x->timer, x->attempt.pool->conf->race_ms);
    else
        timer_clear(&x->timer); /* that of an attempt before */
}

/* ---- the one aside ---- */

static struct conn *take_aside(struct hedge *h)
{
    struct conn *c = h->conn;
    h->conn = NULL;
    return c;
}

/* Its backend was given up, or has failed. */
static void let_go(struct exchange *x, enum verdict verdict)
{
    struct hedge *h = &x->attempt.hedge;
    struct conn *c = take_aside(h);
    c->outcome.verdict = verdict;
    conn_close(c);
    backend_unuse(h->backend, x->worker->index);
}

static void on_failed(struct exchange *x, const char *why)
{
    const struct attempt *at = &x->attempt;
    log_warn(x->id, "pool " SLICE_FMT " backend %s: %s; another is asked already",
             SLICE_ARG(at->pool->conf->name), at->hedge.backend->text, why);
    let_go(x, VERDICT_FAIL);
}

static void come_back(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct hedge *h = &at->hedge;
    attempt_own(x, take_aside(h));
    x->dial_us = h->dial_us;
    x->begin_us = h->begin_us;
    at->reused = h->reused;
    backend_unuse(at->backend, x->worker->index);
    at->backend = h->backend;
    if (h->is_racing) /* still in EX_CONNECT, as the other one was */
        return;
    at->sent = true;
    x->request = MSG_PASSED;
    x->conn_wait = WAIT_NOTHING; /* its deadline begins anew */
    exchange_enter(x, EX_RELAY, "the first one asked");
}

/* It stands, or cannot. */
static void on_racer_ready(void *owner)
{
    struct exchange *x = owner;
    int rc = conn_connect_result(x->attempt.hedge.conn);
    if (rc == -EINPROGRESS)
        return;
    if (rc < 0) {
        on_failed(x, attempt_connect_why(x, rc));
        return;
    }
    lane_end(&x->attempt.lane, false);
    come_back(x);
    exchange_run(x);
}

static void on_racer_due(void *owner)
{
    on_failed(owner, "could not connect in time (timeout connect)");
}

/* It answers, or has closed: then it does not matter any more. */
static void on_aside_ready(void *owner)
{
    struct exchange *x = owner;
    struct stream *s = &x->attempt.hedge.conn->stream;
    if (!s->readable && !s->error && !s->reset)
        return;
    ssize_t n = s->readable ? stream_fill(s) : -ECONNRESET;
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        on_failed(x, "connection closed before a response head");
        return;
    }
    if (lane_is_open(&x->attempt.lane))
        lane_end(&x->attempt.lane, false);
    come_back(x);
    exchange_run(x);
}

static void on_aside_due(void *owner)
{
    on_failed(owner, "no response from the backend (timeout response)");
}

static void put_aside(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct conn *c = at->lane.conn;
    at->hedge = (struct hedge){.conn = c,
                               .backend = backend_use(at->backend, x->worker->index),
                               .dial_us = x->dial_us,
                               .begin_us = x->begin_us,
                               .reused = at->reused,
                               .is_racing = x->state == EX_CONNECT,
                               .is_done = x->state != EX_CONNECT};
    c->on_ready = at->hedge.is_racing ? on_racer_ready : on_aside_ready;
    c->on_due = at->hedge.is_racing ? on_racer_due : on_aside_due;
    at->lane.conn = NULL;
    at->lane.out = NULL;
}

/* ---- the second ---- */

void hedge_on_due(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (x->state == EX_CONNECT && !x->client_gone) {
        attempt_race(x);
        return;
    }
    if (x->state != EX_RELAY || x->response != MSG_NONE || x->request != MSG_PASSED ||
        x->client_gone || x->handoff || at->hedge.is_done || !attempt_is_flushed(at) ||
        at->redirect.n)
        return;
    attempt_hedge(x);
}

void hedge_begin(struct exchange *x)
{
    put_aside(x);
    attempt_rewind(x);
}

bool hedge_resume(struct exchange *x)
{
    if (!x->attempt.hedge.conn)
        return false;
    come_back(x);
    return true;
}

/* Outrun by as long as the race is wide: better not asked for a while, or each request would wait
 * for it first. */
void hedge_end_race(struct exchange *x)
{
    struct hedge *h = &x->attempt.hedge;
    if (h->conn && h->is_racing)
        let_go(x, VERDICT_FAIL);
}

void hedge_settle(struct exchange *x)
{
    if (x->attempt.hedge.conn)
        let_go(x, VERDICT_NONE);
}
