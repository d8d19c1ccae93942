/* SPDX-License-Identifier: MIT */
#include "core/exchange.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/action.h"
#include "core/admit.h"
#include "core/answer.h"
#include "core/asker.h"
#include "core/compress.h"
#include "core/error_pages.h"
#include "core/generation.h"
#include "core/grpc.h"
#include "core/lift.h"
#include "core/relay.h"
#include "core/rewriting.h"
#include "core/worker.h"
#include "http/percent.h"
#include "http/status.h"
#include "http/uri.h"

enum { SPARE_MAX = 256, BUFFER_ROUNDS = 16 };

typedef enum next exchange_step_fn(struct exchange *x);
#define X(id, name) static exchange_step_fn step_##name;
EXCHANGE_STATES(X)
#undef X

static const struct {
    const char *name;
    exchange_step_fn *run;
} steps[] = {
#define X(id, name) [EX_##id] = {#name, step_##name},
    EXCHANGE_STATES(X)
#undef X
};

const char *exchange_state_name(enum exchange_state state)
{
    return steps[state].name;
}

void exchange_enter(struct exchange *x, enum exchange_state state, const char *why)
{
    assert(x->state != EX_FINISH);
    ring_put(&x->worker->ring, x->worker->loop.now_us, x->id, why, x->state, state);
    x->state = state;
    x->is_large = false;
}

void exchange_run(struct exchange *x)
{
    while (steps[x->state].run(x) == NEXT)
        ;
}

/* ---- life ---- */

static void run_again(struct deferred *d)
{
    struct exchange *x = container_of(d, struct exchange, again);
    x->has_waited = true;
    exchange_run(x);
}

static void on_due(struct timer *t)
{
    struct exchange *x = container_of(t, struct exchange, timer);
    if (x->state == EX_WAIT_SLOT)
        attempt_wait_over(x);
    else if (x->state == EX_RELAY || x->state == EX_CONNECT)
        hedge_on_due(x);
    exchange_run(x);
}

struct exchange *exchange_new(struct worker *w)
{
    struct exchange *x = w->spare;
    if (x) {
        w->spare = x->next_spare;
        w->spare_count--;
    } else {
        x = mem_alloc(sizeof(*x));
    }
    memset(x, 0, offsetof(struct exchange, asker));
    x->asker.len = 0;
    counter_add(&w->stats.begun, 1);
    x->worker = w;
    x->id = (uint64_t)(w->index + 1) << 48 | ++w->next_id;
    x->tenure = w->tenure;
    tenure_enter(x->tenure);
    arena_init(&x->arena, &w->loop.bufs);
    deferred_init(&x->again, run_again);
    timer_init(&x->timer, on_due);
    x->serve = &w->snapshot->serve;
    size_t window = w->snapshot->gateway.window;
    chain_init(&x->req_body, &w->loop.bufs, window);
    chain_init(&x->resp_body, &w->loop.bufs, window);
    chain_init(&x->coded, &w->loop.bufs, window);
    x->outgoing = &x->resp_body;
    chain_init(&x->attempt.replay, &w->loop.bufs, window);
    return x;
}

void exchange_free(struct exchange *x)
{
    struct worker *w = x->worker;
    list_remove(&x->again.node);
    timer_fini(&w->loop, &x->timer);
    admit_drop(x);
    admit_end_charges(x);
    chain_clear(&x->req_body);
    chain_clear(&x->resp_body);
    chain_clear(&x->coded);
    compress_drop(x);
    pace_drop(x);
    attempt_fini(&x->attempt, w->index);
    if (x->req_spool)
        spool_close(x->req_spool);
    if (x->resp_spool)
        spool_close(x->resp_spool);
    arena_fini(&x->arena);
    counter_add(&w->stats.ended, 1);
    tenure_leave(x->tenure);
    if (w->spare_count >= SPARE_MAX) {
        free(x);
        return;
    }
    x->next_spare = w->spare;
    w->spare = x;
    w->spare_count++;
}

/* ---- ends that are no good ---- */

static struct slice retry_after(struct exchange *x)
{
    char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
    uint32_t s = x->attempt.pool ? pool_retry_after_s(x->attempt.pool) : 1;
    return slice_of(digits, num_put_dec(digits, s));
}

/* RFC 6797 7.2: over a secure transport only. */
static void put_hsts(struct exchange *x)
{
    struct slice value = x->https && x->route ? x->route->site->hsts.value : SLICE_NONE;
    static const struct slice name = SLICE_INIT("Strict-Transport-Security");
    if (!value.n)
        return;
    struct field *old = fields_find_name(&x->resp.fields, name);
    if (old)
        old->dropped = true;
    fields_add(&x->resp.fields, &x->arena, FIELD_OTHER, name, value);
}

static void put_granted(struct exchange *x)
{
    for (unsigned i = 0; x->granted && i < x->granted->n; i++)
        fields_add(&x->resp.fields, &x->arena, x->granted->v[i].id, x->granted->v[i].name,
                   x->granted->v[i].value);
}

void exchange_put_head(struct exchange *x)
{
    put_granted(x);
    error_pages_mark(x);
    put_hsts(x);
    compress_begin(x);
    lift_begin(x);
    pace_begin(x);
    x->front->put_head(x);
}

void exchange_fail(struct exchange *x, uint16_t status, const char *why, const char *rule)
{
    log_at(status >= 500 ? LEVEL_WARN : LEVEL_INFO, x->id, "%s " SLICE_FMT ": %s%s%s%s",
           x->response == MSG_NONE ? status_reason(status) : "response broken off",
           SLICE_ARG(x->req.target), why, rule ? " [" : "", rule ? rule : "", rule ? "]" : "");
    x->record.ended_by = x->attempt.why && x->attempt.why == why ? END_BACKEND : END_GATEWAY;
    x->record.end_reason = slice_str(why);
    attempt_drop(x);
    if (x->response != MSG_NONE) {
        x->broken = true;
        exchange_enter(x, EX_FINISH, "response broken off");
        return;
    }
    if (x->error_status)
        status = x->error_status;
    if (status == 503 && !x->fail_id) { /* RFC 9110 10.2.3: load passes */
        x->fail_id = FIELD_RETRY_AFTER;
        x->fail_value = retry_after(x);
    }
    if (error_pages_show(x, status))
        return;
    x->is_failing = true;
    answer_begin(x, status);
    if (x->fail_id)
        answer_field(x, x->fail_id, x->fail_value);
    if (grpc_asks(x))
        grpc_answer_error(x, status);
    else
        answer_error_page(x, status);
    answer_send(x, "error answered");
}

/* Once it is answered all the same, by whomever, nobody takes the rest. */
bool exchange_takes_too_much(struct exchange *x, size_t n)
{
    uint64_t limit = x->serve->body_bytes;
    x->req_bytes += n;
    if (!limit || x->req_bytes <= limit || x->response >= MSG_COMPLETE || x->error_status ||
        x->resp_framing.kind == BODY_TUNNEL)
        return false;
    exchange_fail(x, 413, "request body is larger than the limit", "RFC 9110 15.5.14");
    return true;
}

void exchange_abort(struct exchange *x, const char *why)
{
    log_info(x->id, "%s", why);
    x->record.ended_by = END_CLIENT;
    x->record.end_reason = slice_str(why);
    attempt_drop(x);
    x->broken = true;
    exchange_enter(x, EX_FINISH, "client gone");
}

/* ---- states ---- */

/* What was matched is what goes on: a backend that leaves dot segments where they are would take
 * "/private/../public" for something private, which nobody was asked about. No client sends them by
 * itself (RFC 3986 6.2.2.3). */
static void remove_dots(struct exchange *x)
{
    struct request_head *req = &x->req;
    log_info(x->id, "dot segments of " SLICE_FMT " are removed", SLICE_ARG(req->target));
    req->path = req->target = percent_encode(x->path, PERCENT_PATH, &x->arena);
    req->form = TARGET_ORIGIN;
    if (req->has_query)
        req->target = arena_printf(&x->arena, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(req->path),
                                   SLICE_ARG(req->query));
}

static enum parse check_request(struct exchange *x, struct fault *f)
{
    if (x->req.method == METHOD_CONNECT)
        return fault_bad(f, 501, "CONNECT is not for a gateway", "RFC 9110 9.3.6");
    if (fields_has(&x->req.fields, FIELD_EXPECT) &&
        !slice_ieq(fields_value(&x->req.fields, FIELD_EXPECT), SLICE("100-continue")))
        return fault_bad(f, 417, "unknown expectation", "RFC 9110 10.1.1");
    x->path = x->req.path;
    if (x->req.form == TARGET_ASTERISK)
        return PARSE_DONE;
    if (uri_normalise_path(x->req.path, &x->arena, &x->path, f) != PARSE_DONE)
        return PARSE_BAD;
    if (x->path.p != x->req.path.p && uri_has_dots(x->req.path))
        remove_dots(x);
    return PARSE_DONE;
}

static enum parse rewrite(struct exchange *x, const struct rewrite *rules, struct facts *facts,
                          struct fault *f)
{
    struct groups groups;
    if (!rules || !rules->target.n)
        return PARSE_DONE;
    rewriting_fill_facts(x, facts, &groups);
    return rewriting_target(x, rules, facts, f);
}

/* A route that may leave the request to the next leaves it as it came. */
static void keep_head(struct exchange *x)
{
    x->unrouted = NULL;
    if (!x->route->passes_over || !x->route->rewrite)
        return;
    struct request_head *kept = arena_alloc(&x->arena, sizeof(*kept));
    *kept = x->req;
    x->unrouted = kept;
}

/* One of the site, or, where its files have nothing, one behind the route taken last. */
static enum parse choose_route(struct exchange *x, const struct site_conf *site,
                               struct facts *facts, struct fault *f)
{
    struct route_match match =
        x->passes_over ? route_find_after(x->route, facts) : route_find(site, facts);
    x->passes_over = false;
    if (match.gave_up)
        return fault_bad(f, 500, "a route's regular expression takes too long for this path", NULL);
    if (!match.route)
        return fault_bad(f, 404, "no route of the site matches", NULL);
    x->route = match.route;
    x->serve = &match.route->serve;
    x->pages = &match.route->pages;
    x->matched = x->path;
    x->mount = x->site_mount;
    x->params = NULL;
    keep_head(x);
    return rewrite(x, x->route->rewrite, facts, f);
}

static enum parse find_route(struct exchange *x, struct fault *f)
{
    struct facts facts;
    if (check_request(x, f) != PARSE_DONE)
        return PARSE_BAD;
    rewriting_route_facts(x, &facts);
    const struct site_conf *site = route_find_site(x->tenure->generation->snapshot, facts.host);
    if (!site)
        return fault_bad(f, 404, "no site has this host", NULL);
    x->pages = &site->pages;
    bool is_new = !x->reroutes && !x->passes_over;
    if (is_new && rewrite(x, site->rewrite, &facts, f) != PARSE_DONE)
        return PARSE_BAD;
    if (is_new)
        x->site_mount = x->mount;
    return choose_route(x, site, &facts, f);
}

void exchange_pass_over(struct exchange *x, const char *why)
{
    x->passes_over = true;
    if (x->unrouted)
        x->req = *x->unrouted;
    exchange_enter(x, EX_ROUTE, why);
}

static void find_asker(struct exchange *x)
{
    const struct gateway_conf *gateway = &x->worker->snapshot->gateway;
    const struct trusted_proxies trusted = {gateway->trusted, gateway->trusted_count,
                                            gateway->client_from == CLIENT_FROM_FORWARDED};
    x->asker_text = x->peer_text;
    if (!asker_find(x->peer, &x->req.fields, &trusted, &x->asker))
        return;
    struct text t = text_of(arena_alloc(&x->arena, NET_ADDR_TEXT_MAX), NET_ADDR_TEXT_MAX);
    net_addr_put_host(&t, &x->asker);
    x->asker_text = text_slice(&t);
}

/* A pattern may take the better part of a millisecond until it is given up: one after the other, so
 * that others come in between. */
static bool must_wait_to_match(struct exchange *x)
{
    bool waits = x->worker->snapshot->regexes && !x->has_waited;
    if (!waits || !loop_turn_is_long(&x->worker->loop))
        return false;
    loop_defer(&x->worker->loop, &x->again);
    return true;
}

static enum next step_route(struct exchange *x)
{
    struct fault f;
    if (must_wait_to_match(x))
        return PARK;
    x->has_waited = false;
    if (!x->reroutes && !x->passes_over)
        x->field_count = x->req.fields.n;
    if (!x->asker.len)
        find_asker(x);
    admit_drop(x);
    if (find_route(x, &f) != PARSE_DONE) {
        bool is_ours = x->reroutes && f.status == 400; /* no fault of who asked */
        exchange_fail(x, is_ours ? 500 : f.status, f.what, f.rule);
        return NEXT;
    }
    uint64_t limit = x->serve->body_bytes;
    if (limit && x->req_framing.kind == BODY_LENGTH && x->req_framing.length > limit) {
        exchange_fail(x, 413, "request body is larger than the limit", "RFC 9110 15.5.14");
        return NEXT;
    }
    exchange_enter(x, x->route->admission && !x->error_status ? EX_ADMIT : EX_ACT, "routed");
    return NEXT;
}

static enum next step_admit(struct exchange *x)
{
    return admit_run(x);
}

static enum next step_act(struct exchange *x)
{
    return x->route->action->run(x);
}

bool exchange_spill(struct exchange *x, struct chain *body, struct spool **spool)
{
    uint64_t memory = x->serve->buffer_memory;
    if (body->bytes <= memory)
        return true;
    if (!*spool)
        *spool = spool_new();
    int error = spool_spill(*spool, body, memory, x->worker->snapshot->gateway.temp_dir.p);
    if (error)
        log_error(x->id, "cannot write a body to a file in " SLICE_FMT " (temp-dir): %s",
                  SLICE_ARG(x->worker->snapshot->gateway.temp_dir), strerror(-error));
    return error == 0;
}

void exchange_answer_expectation(struct exchange *x)
{
    static const struct response_head go_on = {.status = 100, .reason = SLICE_INIT("Continue")};
    if (!fields_has(&x->req.fields, FIELD_EXPECT))
        return;
    fields_drop(&x->req.fields, FIELD_EXPECT);
    x->expectation_met = true;
    x->front->put_interim(x, &go_on);
}

/* All of the body is here: its length is known now, however it came. */
static void end_buffering(struct exchange *x)
{
    if (x->req_framing.kind != BODY_CHUNKED)
        return;
    char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
    x->req_framing = (struct framing){.kind = BODY_LENGTH, .length = x->req_body.bytes};
    fields_add(&x->req.fields, &x->arena, FIELD_CONTENT_LENGTH, field_text(FIELD_CONTENT_LENGTH),
               slice_of(digits, num_put_dec(digits, x->req_body.bytes)));
}

/* More than may be buffered: streams the rest, if the protocol lets it. */
static void leave_buffering(struct exchange *x)
{
    if (x->req_framing.kind == BODY_CHUNKED && x->attempt.codec->needs_length) {
        exchange_fail(x, 413, "request body is larger than what may be buffered (buffer file)",
                      "RFC 9110 15.5.14");
        return;
    }
    x->req_body.window = x->worker->snapshot->gateway.window;
    exchange_enter(x, EX_PICK, "buffer is full");
}

static enum next step_buffer(struct exchange *x)
{
    bool moved = true;
    exchange_answer_expectation(x); /* the backend is not asked yet */
    if (!x->front->is_flushed(x))
        x->front->send(x);
    if (x->state != EX_BUFFER) /* the client has gone */
        return NEXT;
    struct loop *loop = &x->worker->loop;
    for (int round = 0; moved && round < BUFFER_ROUNDS && x->request == MSG_BODY; round++) {
        if (round && loop_turn_is_long(loop))
            break;
        moved = x->front->take(x);
        if (x->state != EX_BUFFER)
            return NEXT;
        if (!exchange_spill(x, &x->req_body, &x->req_spool)) {
            exchange_fail(x, 500, "the request body cannot be buffered", NULL);
            return NEXT;
        }
    }
    if (x->request != MSG_BODY) {
        end_buffering(x);
        exchange_enter(x, EX_PICK, "request body complete");
    } else if (!chain_room(&x->req_body)) {
        leave_buffering(x);
    } else if (moved) {
        loop_defer_large(loop, &x->again);
    }
    if (x->state != EX_BUFFER)
        return NEXT;
    if (x->client_moved || x->client_wait != WAIT_READ)
        x->front->set_deadline(x, x->client_wait = WAIT_READ);
    x->client_moved = false;
    return PARK;
}

static enum next step_pick(struct exchange *x)
{
    if (x->client_wait == WAIT_READ) /* nothing is asked of the client meanwhile */
        x->front->set_deadline(x, x->client_wait = WAIT_NOTHING);
    attempt_start(x);
    return x->state == EX_WAIT_SLOT ? PARK : NEXT;
}

static enum next step_wait_slot(struct exchange *x)
{
    if (x->client_gone && x->client_wait != WAIT_GONE)
        x->front->set_deadline(x, x->client_wait = WAIT_GONE);
    return PARK;
}

static enum next step_connect(struct exchange *x)
{
    attempt_connected(x);
    return x->state == EX_CONNECT ? PARK : NEXT;
}

static enum next step_relay(struct exchange *x)
{
    return relay_run(x);
}

static int64_t span(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us >= from_us ? (int64_t)(to_us - from_us) : -1;
}

static struct slice version_of(const struct request_head *req)
{
    if (req->is_h2)
        return SLICE("HTTP/2.0");
    return req->minor ? SLICE("HTTP/1.1") : SLICE("HTTP/1.0");
}

static void log_access(struct exchange *x, uint64_t now_us)
{
    struct worker *w = x->worker;
    const struct attempt *at = &x->attempt;
    rewriting_keep_asked(x);
    struct access_record record = {
        .wall_us = loop_wall_us() - (int64_t)(now_us - x->start_us),
        .id = x->id,
        .user = x->auth_user,
        .client = x->asker_text.n ? x->asker_text : x->peer_text,
        .method = x->record.method,
        .target = x->record.target,
        .host = x->record.host,
        .version = version_of(&x->req),
        .status = x->response == MSG_NONE ? 0 : x->resp.status,
        .sent_bytes = x->resp_bytes,
        .received_bytes = x->req_bytes,
        .referer = fields_value(&x->req.fields, FIELD_REFERER),
        .user_agent = fields_value(&x->req.fields, FIELD_USER_AGENT),
        .pool = at->pool ? at->pool->conf->name : SLICE_NONE,
        .backend = at->backend ? slice_str(at->backend->text) : SLICE_NONE,
        .attempts = at->count,
        .ended_by = x->record.ended_by,
        .end_reason = x->record.end_reason,
    };
    record.phase_us[PHASE_HEAD] = span(x->start_us, x->read_us);
    record.phase_us[PHASE_QUEUE] = !x->dial_us ? -1 : x->wait_us ? span(x->wait_us, x->dial_us) : 0;
    record.phase_us[PHASE_CONNECT] = span(x->dial_us, x->begin_us);
    record.phase_us[PHASE_FIRST] = span(x->begin_us, x->head_us);
    record.phase_us[PHASE_TOTAL] = span(x->start_us, now_us);
    char line[ACCESS_LINE_MAX];
    size_t n = access_log_put(line, sizeof(line),
                              (enum access_format)w->snapshot->gateway.access_format, &record);
    log_writer_put(w->tenure->generation->access_log, slice_of(line, n));
}

static enum next step_finish(struct exchange *x)
{
    uint64_t now_us = loop_clock_us();
    stats_finish(x, now_us);
    if (x->worker->tenure->generation->access_log && !x->is_own)
        log_access(x, now_us);
    attempt_drop(x);
    x->front->done(x, x->broken);
    return PARK;
}
