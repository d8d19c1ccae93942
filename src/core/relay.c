/* SPDX-License-Identifier: MIT */
#include "core/relay.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "codec/cgi_response.h"
#include "core/cgi_info.h"
#include "core/cgi_launch.h"
#include "core/compress.h"
#include "core/demand.h"
#include "core/error_pages.h"
#include "core/forward.h"
#include "core/handoff.h"
#include "core/lift.h"
#include "core/reroute.h"
#include "core/rewriting.h"
#include "core/worker.h"
#include "http/status.h"
#include "net/pipe.h"

enum {
    ROUNDS_PER_TURN = 16,    /* then others get their turn */
    CODED_ROUNDS = 4,        /* the same, of rounds that cost more */
    LARGE = 128 * 1024,      /* who moves as much in a turn takes turns with others that do */
    SPLICE_MIN = 128 * 1024, /* below, two system calls more cost more than the copy */
};

struct slice relay_target(struct exchange *x)
{
    const struct request_head *req = &x->req;
    if (req->form != TARGET_ABSOLUTE)
        return req->target;
    if (!req->has_query)
        return req->path;
    return arena_printf(&x->arena, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(req->path),
                        SLICE_ARG(req->query));
}

void relay_fill_request(struct exchange *x, const struct backend *b, struct codec_request *request,
                        struct cgi_info *info)
{
    const struct pool_conf *conf = x->attempt.pool->conf;
    *request = (struct codec_request){
        .head = &x->req,
        .framing = x->req_framing,
        .target = relay_target(x),
        .host = x->mount.host.n                   ? x->mount.host
                : conf->host_mode == HOST_KEEP    ? x->req.authority
                : conf->host_mode == HOST_BACKEND ? slice_str(b->host)
                                                  : conf->host,
        .upgrade = x->upgrade,
        .keep = conf->keep_idle > 0,
        .takes_trailers = x->takes_trailers,
    };
    if (info && x->attempt.codec->wants_cgi) {
        request->asked = rewriting_asked(x);
        cgi_info_fill(info, x);
        if (b->addr.ss_family != AF_UNSPEC) /* else a program is to be found first */
            cgi_info_mount(info, x);
        request->cgi = info;
    }
}

void relay_begin(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct cgi_info cgi;
    struct codec_request request;
    /* A program has got its head with its environment. */
    bool is_program = at->backend->addr.ss_family == AF_UNSPEC;
    if (at->codec->wants_cgi) /* which has no word for it: the application waits for the body */
        exchange_answer_expectation(x);
    relay_fill_request(x, at->backend, &request, is_program ? NULL : &cgi);
    at->redirect = SLICE_NONE;
    at->sent = is_program;
    at->codec->begin(at->lane.state, &request, at->lane.out);
    timer_clear(at->lane.timer); /* the deadline of connecting was another one */
    x->begin_us = x->worker->loop.now_us;
}

/* ---- inbound: the request, towards the backend ---- */

static struct pipe *take_pipe(struct exchange *x, uint64_t plain, const struct stream *from)
{
    if (plain < SPLICE_MIN || !from->transport->splice)
        return NULL;
    return pipe_take(&x->worker->pipes);
}

static bool splice_request(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (at->lane.carrier || !chain_is_empty(&x->req_body) || !attempt_is_flushed(at) ||
        !at->codec->is_plain_out(at->lane.state))
        return false;
    uint64_t plain = x->front->plain_left(x);
    struct pipe *pipe = take_pipe(x, plain, &at->lane.conn->stream);
    if (!pipe)
        return false;
    ssize_t n = x->front->splice(x, pipe->write_fd, plain < pipe->bytes ? plain : pipe->bytes);
    if (n > 0)
        chain_put_pipe(&x->req_body, &pipe->source, (size_t)n);
    source_unref(&pipe->source);
    return n > 0;
}

/* While the request could still be sent again, what is passed on is kept too. */
static void put_request_body(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    if (at->replay_complete) {
        bool fits = at->replay.bytes + x->req_body.bytes <= at->replay.window;
        at->replay_complete = fits && chain_share(&at->replay, &x->req_body);
        if (!at->replay_complete)
            chain_clear(&at->replay);
    }
    at->codec->put_body(at->lane.state, &x->req_body, at->lane.out);
}

/* True: the client may send as much again, whether it goes out or not. */
static bool pass_request(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    bool moved = !chain_is_empty(&x->req_body) && chain_room(at->lane.out);
    if (moved)
        put_request_body(x);
    if (x->request == MSG_COMPLETE && chain_is_empty(&x->req_body)) {
        at->codec->put_end(at->lane.state, &x->req_trailers, at->lane.out);
        x->request = MSG_PASSED;
    }
    return moved;
}

/* All of the request has gone out: this direction has nothing to do any more. */
static bool is_passed(const struct exchange *x)
{
    return x->request == MSG_PASSED && lane_is_flushed(&x->attempt.lane);
}

/* Sends what the codec has written. True: something of it has gone, or goes soon. */
static bool send_request(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    bool is_first = !at->sent && !chain_is_empty(at->lane.out);
    if (is_first && x->request == MSG_PASSED && !at->codec->finishes && lane_send_soon(&at->lane))
        return true;
    return lane_flush(&at->lane);
}

/* True: something moved, and more may. */
static bool inbound(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    bool moved = false;
    if (x->request == MSG_BODY)
        moved = splice_request(x) || x->front->take(x);
    if (x->state != EX_RELAY || !lane_is_open(&at->lane))
        return moved;
    moved |= pass_request(x);
    if (send_request(x))
        moved = x->conn_moved = at->sent = true;
    if (!is_passed(x))
        return moved;
    if (x->resp_framing.kind == BODY_TUNNEL || at->codec->finishes)
        lane_finish(&at->lane);
    return false;
}

/* ---- outbound: the response, towards the client ---- */

static void on_interim(struct exchange *x, struct response_head *head)
{
    forward_response(x, head);
    handoff_hide(&head->fields);
    if (x->req.minor >= 1) /* RFC 9110 15.2: not to a client of HTTP/1.0 */
        x->front->put_interim(x, head);
}

/* ---- local redirects of CGI (RFC 3875 6.2.2) ---- */

/* A head that may be one is held until there is no body behind it, so that the program may end in
 * peace. */
static bool holds_redirect(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    return !x->is_own && at->codec->wants_cgi && cgi_is_local_redirect(&x->resp, &at->redirect);
}

static void follow_redirect(struct exchange *x)
{
    const struct reroute to = {
        .target = x->attempt.redirect, .as_get = true, .why = "local redirect of CGI"};
    attempt_finish(x);
    exchange_reroute(x, &to);
}

/* The final head: from here on no other attempt may be made. False: it is not to be passed on, and
 * that is answered. */
static bool begin_response(struct exchange *x, const struct framing *framing)
{
    x->attempt.redirect = SLICE_NONE;
    forward_response(x, &x->resp);
    rewriting_map_back(x);
    if (!rewriting_response(x))
        return false;
    x->resp_framing = *framing;
    x->response = MSG_BODY;
    x->head_us = x->worker->loop.now_us;
    x->attempt.replay_complete = false;
    chain_clear(&x->attempt.replay);
    if (framing->kind == BODY_TUNNEL)
        x->request = MSG_BODY;
    demand_mark_response(x);
    handoff_add_cookies(x);
    exchange_put_head(x);
    return true;
}

static void on_head(struct exchange *x, const struct codec_result *result)
{
    if (attempt_rejects(x))
        return;
    hedge_settle(x);
    if (!x->is_own && (handoff_take(x) || error_pages_intercept(x)))
        return;
    if (holds_redirect(x))
        x->resp_framing = result->framing;
    else
        (void)begin_response(x, &result->framing);
}

static void on_data(struct exchange *x, struct slice data, struct buf *in)
{
    if (x->attempt.redirect.n) { /* no redirect of CGI: it has a body */
        const struct framing framing = x->resp_framing;
        x->resp.reason = slice_str(status_reason(x->resp.status));
        if (!begin_response(x, &framing))
            return;
    }
    chain_put(&x->resp_body, in, data); /* all of it: the memory is held already */
}

static void on_end(struct exchange *x, const struct codec_result *result)
{
    if (x->attempt.redirect.n) {
        follow_redirect(x);
        return;
    }
    x->resp_trailers = result->trailers;
    handoff_hide(&x->resp_trailers);
    x->response = MSG_COMPLETE;
    attempt_finish(x);
}

/* What an application wrote for its administrator, line by line. */
static void log_text(const struct exchange *x, struct slice text)
{
    const struct attempt *at = &x->attempt;
    while (text.n) {
        size_t end = slice_find(text, '\n');
        struct slice line = slice_first(text, end);
        text = slice_skip(text, end < text.n ? end + 1 : end);
        if (line.n)
            log_said(LEVEL_WARN, x->id, "pool " SLICE_FMT " backend %s says: " SLICE_FMT,
                     SLICE_ARG(at->pool->conf->name), at->backend->text, SLICE_ARG(line));
    }
}

/* The answer asks for something else: what still comes of it is read away. */
static bool on_rest(struct exchange *x, enum codec_event event, const struct codec_result *result)
{
    switch (event) {
    case CODEC_MORE: return false;
    case CODEC_LOG: log_text(x, result->data); return true;
    case CODEC_DATA:
        if (handoff_skip(x, result->data.n))
            return true;
        break;
    case CODEC_END:
        attempt_finish(x);
        handoff_run(x);
        return false;
    case CODEC_HEAD:
    case CODEC_BAD:
    case CODEC_REFUSED: break;
    }
    attempt_leave(x);
    handoff_run(x);
    return false;
}

/* One event of the backend's codec; its data lies in `in`. False: no more for now. */
static bool on_event(struct exchange *x, enum codec_event event, const struct codec_result *result,
                     struct buf *in)
{
    if (x->handoff)
        return on_rest(x, event, result);
    switch (event) {
    case CODEC_MORE: return false;
    case CODEC_HEAD:
        if (result->response->status / 100 == 1 && result->framing.kind != BODY_TUNNEL)
            on_interim(x, &x->resp);
        else
            on_head(x, result);
        return true;
    case CODEC_DATA: on_data(x, result->data, in); return true;
    case CODEC_END: on_end(x, result); return false;
    case CODEC_BAD:
        attempt_fail(x, FAIL_PROTOCOL, result->fault.what, result->fault.rule);
        return false;
    case CODEC_LOG: log_text(x, result->data); return true;
    case CODEC_REFUSED:
        attempt_fail(x, FAIL_REFUSED, result->fault.what, result->fault.rule);
        return false;
    }
    return false;
}

/* Decodes what has been read; true: something came of it. The connection is brought up to date
 * before each event is acted on, for with the last one it is given away. */
static bool decode(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    bool moved = false, more = true;
    while (more && lane_is_open(&at->lane) && x->state == EX_RELAY) {
        struct buf *hold;
        struct slice in = lane_bytes(&at->lane, &hold);
        size_t before = in.n;
        struct codec_result result;
        result.response = &x->resp;
        if (hold)
            buf_ref(hold);
        enum codec_event event =
            at->codec->feed(at->lane.state, &in, &x->worker->limits, &x->arena, &result);
        lane_consume(&at->lane, before - in.n);
        moved |= before != in.n || event != CODEC_MORE;
        more = on_event(x, event, &result, hold) ||
               (event == CODEC_MORE && lane_gather(&at->lane, before - in.n));
        if (hold)
            buf_unref(hold);
    }
    return moved;
}

static const char *broken_why(struct exchange *x, ssize_t error)
{
    if (error == -ECONNRESET || error == -EPIPE)
        return "connection reset by the backend";
    return arena_printf(&x->arena, "connection broken: %s", strerror((int)-error)).p;
}

/* Where nothing but its end says that the response is whole, and it is a program's, only how that
 * ended tells. */
static bool awaits_end(const struct exchange *x)
{
    bool is_unsaid = x->response == MSG_NONE || x->resp_framing.kind == BODY_CLOSE;
    return is_unsaid && !x->handoff && cgi_await_end(x->attempt.lane.conn);
}

/* error: -errno, or 0 where the backend has closed. */
static void on_eof(struct exchange *x, ssize_t error)
{
    struct attempt *at = &x->attempt;
    struct codec_result result;
    const char *fault = lane_fault(&at->lane);
    result.response = &x->resp;
    if (!error && awaits_end(x))
        return;
    if (x->handoff)
        on_rest(x, at->codec->eof(at->lane.state, &result), &result);
    else if (fault)
        attempt_fail(x, FAIL_PROTOCOL, fault, NULL);
    else if (error < 0)
        attempt_fail(x, FAIL_BROKEN, attempt_broken_why(x, broken_why(x, error)), NULL);
    else if (x->response == MSG_NONE && !at->redirect.n)
        attempt_fail(x, FAIL_BROKEN, "connection closed before a response head", "RFC 9112 8");
    else if (x->response != MSG_NONE && cgi_is_broken(at->lane.conn))
        attempt_fail(x, FAIL_BROKEN, "the program was killed before the end of its response", NULL);
    else
        on_event(x, at->codec->eof(at->lane.state, &result), &result, NULL);
}

/* True: the pipe took a piece, or the response came to an end. */
static bool splice_response(struct exchange *x)
{
    struct attempt *at = &x->attempt;
    struct conn *c = at->lane.conn;
    if (x->handoff || x->pace || at->redirect.n || at->lane.carrier || !c->stream.readable ||
        stream_bytes(&c->stream).n || !chain_is_empty(&x->resp_body) || x->coder ||
        !x->front->is_plain_out(x))
        return false;
    uint64_t plain = at->codec->plain_left(c->codec_state);
    struct pipe *pipe = take_pipe(x, plain, &c->stream);
    if (!pipe)
        return false;
    if (c->stream.filled && x->front->is_flushed(x))
        pipe_grow(pipe);
    size_t room = pipe->bytes;
    ssize_t n = stream_splice(&c->stream, pipe->write_fd, plain < room ? plain : room);
    if (n > 0) {
        at->codec->plain_taken(c->codec_state, (uint64_t)n);
        chain_put_pipe(&x->resp_body, &pipe->source, (size_t)n);
    }
    source_unref(&pipe->source);
    if (n > 0 && (uint64_t)n == plain)
        decode(x); /* nothing is left to read, but the codec has the end to report */
    else if (n <= 0 && n != -EAGAIN)
        on_eof(x, n);
    return n != -EAGAIN;
}

/* Where lanes have no window of their own, what one does not take stands before what is the
 * others', so all of it is taken, whatever else is said about buffering. */
static bool holds_up_others(const struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    return lane_is_open(&at->lane) && at->lane.carrier && !at->codec->mux->has_windows;
}

/* False: nothing more is to be read for now, or the exchange has ended. */
static bool has_room(struct exchange *x)
{
    if (!holds_up_others(x))
        return chain_room(&x->resp_body);
    if (x->resp_body.window < x->serve->buffer_file)
        x->resp_body.window = x->serve->buffer_file;
    if (chain_room(&x->resp_body))
        return true;
    exchange_fail(
        x, 502, "its client does not read, and others wait for the connection (buffer file)", NULL);
    return false;
}

static enum lane_fill next_fill(const struct exchange *x)
{
    if (x->response == MSG_NONE)
        return FILL_HEAD;
    bool keeps_up =
        x->is_large && chain_is_empty(&x->resp_body) && !x->coder && x->front->is_flushed(x);
    return keeps_up ? FILL_DEEP : FILL_BODY;
}

/* Reads from the backend and decodes, while the client's side has room. */
static bool take_response(struct exchange *x)
{
    struct lane *l = &x->attempt.lane;
    struct buf *hold;
    if (!has_room(x))
        return false;
    if (splice_response(x))
        return x->conn_moved = true;
    /* Also without bytes: the codec may have the end to report that found no room before. */
    bool moved = (l->carrier || lane_bytes(l, &hold).n || x->response == MSG_BODY) && decode(x);
    if (!lane_is_open(l) || x->state != EX_RELAY || moved) {
        x->conn_moved |= moved && l->carrier;
        return moved;
    }
    ssize_t n = lane_fill(l, next_fill(x));
    if (n == -EAGAIN)
        return false;
    if (n <= 0)
        on_eof(x, n);
    else
        decode(x);
    return x->conn_moved = true;
}

/* False: the exchange has ended. */
static bool spill(struct exchange *x)
{
    bool shares = holds_up_others(x);
    if ((!x->buffer_response && !shares) || exchange_spill(x, &x->resp_body, &x->resp_spool))
        return true;
    if (shares) {
        exchange_fail(x, 502, "it cannot be buffered, and others wait for the connection", NULL);
        return false;
    }
    x->buffer_response = false; /* streams from here on */
    x->resp_body.window = x->worker->snapshot->gateway.window;
    return true;
}

static bool outbound(struct exchange *x)
{
    bool moved = false;
    if (lane_is_open(&x->attempt.lane) && x->response < MSG_COMPLETE)
        moved = take_response(x);
    if (x->state != EX_RELAY)
        return true;
    if (!spill(x))
        return true;
    moved |= compress_run(x);
    moved |= lift_run(x);
    moved |= pace_run(x);
    if (x->state == EX_RELAY && (x->response != MSG_NONE || !x->front->is_flushed(x)))
        moved |= x->front->send(x);
    return moved;
}

/* ---- deadlines ---- */

static enum wait backend_wait(const struct exchange *x)
{
    if (x->handoff)
        return WAIT_REST;
    if (!lane_is_flushed(&x->attempt.lane))
        return WAIT_WRITE;
    if (x->resp_framing.kind == BODY_TUNNEL && x->response == MSG_BODY)
        return WAIT_TUNNEL;
    if (x->response == MSG_NONE)
        return x->request == MSG_PASSED ? WAIT_HEAD : WAIT_NOTHING;
    bool reads = chain_room(&x->resp_body) && !cgi_is_awaited(x->attempt.lane.conn);
    return reads ? WAIT_READ : WAIT_NOTHING;
}

static uint32_t backend_ms(const struct exchange *x, enum wait wait)
{
    if (wait == WAIT_REST)
        return HANDOFF_REST_MS;
    if (wait == WAIT_TUNNEL)
        return x->serve->tunnel_ms;
    return wait == WAIT_HEAD ? x->serve->response_ms : x->serve->idle_ms;
}

static void set_backend_deadline(struct exchange *x)
{
    if (!lane_is_open(&x->attempt.lane))
        return;
    struct timer *timer = x->attempt.lane.timer;
    enum wait wait = backend_wait(x);
    if (wait != x->conn_wait || (x->conn_moved && wait != WAIT_HEAD && wait != WAIT_REST) ||
        timer->due_ms == 0) {
        if (wait == WAIT_NOTHING)
            timer_clear(timer);
        else
            timer_set(&x->worker->loop, timer, attempt_limit_ms(x, backend_ms(x, wait)));
    }
    x->conn_wait = wait;
    x->conn_moved = false;
}

static enum wait client_wait(const struct exchange *x)
{
    if (!x->front->is_flushed(x))
        return WAIT_WRITE;
    if (x->resp_framing.kind == BODY_TUNNEL)
        return WAIT_NOTHING; /* the backend's side keeps the tunnel's time */
    if (x->request == MSG_BODY && chain_room(&x->req_body))
        return WAIT_READ;
    return x->client_gone ? WAIT_GONE : WAIT_NOTHING;
}

static void set_client_deadline(struct exchange *x)
{
    enum wait wait = client_wait(x);
    if (wait != x->client_wait || x->client_moved)
        x->front->set_deadline(x, wait);
    x->client_wait = wait;
    x->client_moved = false;
}

/* These count from the last byte, which may have come and not been looked at. All others count
 * whatever comes. */
static bool is_renewed(enum wait wait)
{
    return wait == WAIT_READ || wait == WAIT_WRITE || wait == WAIT_TUNNEL;
}

void relay_on_due(struct exchange *x)
{
    static const char *const what[] = {
        [WAIT_NOTHING] = "",
        [WAIT_GONE] = "",
        [WAIT_REST] = "",
        [WAIT_READ] = "backend stopped sending (timeout idle)",
        [WAIT_WRITE] = "backend stopped reading (timeout idle)",
        [WAIT_HEAD] = "no response from the backend (timeout response)",
        [WAIT_TUNNEL] = "nothing moved in the tunnel (timeout tunnel)",
    };
    uint64_t again_ms = attempt_limit_ms(x, 1);
    if (exchange_is_put_off(x) && is_renewed(x->conn_wait) && again_ms) {
        timer_set(&x->worker->loop, x->attempt.lane.timer, again_ms);
        return;
    }
    if (x->handoff) {
        attempt_leave(x);
        handoff_run(x);
        return;
    }
    attempt_fail(x, FAIL_TIMEOUT, what[x->conn_wait], NULL);
}

/* ---- both ---- */

static bool is_finished(const struct exchange *x)
{
    return x->response == MSG_PASSED && x->front->is_flushed(x);
}

static uint64_t moved_bytes(const struct exchange *x)
{
    return x->req_bytes + x->resp_bytes + x->flushed_bytes;
}

/* Without a backend it is a file that goes out, or what the gateway made. */
static uint64_t turn_bytes(const struct exchange *x)
{
    return lane_is_open(&x->attempt.lane) ? EXCHANGE_TURN_BYTES : EXCHANGE_TURN_FILE_BYTES;
}

/* Others come first: its pieces are large, or cost much and the turn is long. */
static bool must_wait(const struct exchange *x)
{
    return !x->has_waited && (x->is_large || (x->coder && loop_turn_is_long(&x->worker->loop)));
}

/* So many bytes are enough for a turn. */
static bool has_enough(const struct exchange *x, uint64_t bytes)
{
    if (bytes >= turn_bytes(x))
        return true;
    if (bytes >= LARGE && !x->is_large)
        return true;
    return (bytes >= LARGE || x->coder) && loop_turn_is_long(&x->worker->loop);
}

static unsigned rounds_per_turn(const struct exchange *x)
{
    return x->coder ? CODED_ROUNDS : ROUNDS_PER_TURN;
}

enum next relay_run(struct exchange *x)
{
    struct loop *loop = &x->worker->loop;
    uint64_t begun = moved_bytes(x);
    bool moved = true;
    if (must_wait(x)) {
        loop_defer_large(loop, &x->again);
        return PARK;
    }
    x->has_waited = false;
    for (unsigned round = 0; moved && round < rounds_per_turn(x); round++) {
        if (round && has_enough(x, moved_bytes(x) - begun))
            break;
        uint64_t deep = loop->deep.bytes;
        moved = inbound(x);
        stream_passed_deep(loop, deep);
        if (x->state != EX_RELAY)
            return NEXT;
        deep = loop->deep.bytes;
        moved |= outbound(x);
        stream_passed_deep(loop, deep);
        if (x->state != EX_RELAY)
            return NEXT;
        if (is_finished(x)) {
            exchange_enter(x, EX_FINISH, "response sent");
            return NEXT;
        }
    }
    bool awaits_head = x->request == MSG_PASSED && x->response == MSG_NONE;
    x->is_large = moved_bytes(x) - begun >= LARGE && !awaits_head;
    if (moved && (x->is_large || x->coder))
        loop_defer_large(loop, &x->again);
    else if (moved)
        loop_defer(loop, &x->again);
    else if (compress_flush(x)) {
        pace_run(x);
        x->front->send(x);
    }
    if (x->state != EX_RELAY)
        return NEXT;
    set_backend_deadline(x);
    set_client_deadline(x);
    return PARK;
}
