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
    backend_unref(h->backend);
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
    at->sent = true;
    backend_unref(at->backend);
    at->backend = h->backend;
    x->request = MSG_PASSED;
    x->conn_wait = WAIT_NOTHING; /* its deadline begins anew */
    exchange_enter(x, EX_RELAY, "the first one asked");
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
                               .backend = backend_ref(at->backend),
                               .dial_us = x->dial_us,
                               .begin_us = x->begin_us,
                               .reused = at->reused,
                               .is_done = true};
    c->on_ready = on_aside_ready;
    c->on_due = on_aside_due;
    at->lane.conn = NULL;
    at->lane.out = NULL;
}

/* ---- the second ---- */

void hedge_on_due(struct exchange *x)
{
    struct attempt *at = &x->attempt;
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

void hedge_settle(struct exchange *x)
{
    if (x->attempt.hedge.conn)
        let_go(x, VERDICT_NONE);
}
