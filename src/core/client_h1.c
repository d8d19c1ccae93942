/* SPDX-License-Identifier: MIT */
#include "core/client_h1.h"

#include <errno.h>

#include "base/log.h"
#include "codec/h2.h"
#include "core/answer.h"
#include "core/client.h"
#include "core/client_h2.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "net/addr.h"

static const struct front h1_front;

/* ---- requests ---- */

static struct exchange *start_exchange(struct client *c)
{
    struct exchange *x = client_exchange(c, c->h1.first_us);
    x->front = &h1_front;
    x->client = c;
    return x;
}

static struct slice peer_text(const struct client *c, struct exchange *x)
{
    struct text t = text_of(arena_alloc(&x->arena, NET_ADDR_TEXT_MAX), NET_ADDR_TEXT_MAX);
    client_put_peer(c, &t);
    return text_slice(&t);
}

static void become_busy(struct client *c, struct exchange *x)
{
    x->peer_text = peer_text(c, x);
    c->h1.x = x;
    c->h1.first_us = 0;
    c->requests++;
    timer_clear(&c->timer);
}

/* RFC 9112 9.3: persistence is the default of 1.1 and must be asked for in 1.0. */
static bool wants_close(const struct client *c, const struct request_head *req)
{
    uint32_t limit = client_conf(c)->conn_requests;
    if (c->worker->stopping || (limit && c->requests >= limit))
        return true;
    if (fields_has(&req->fields, FIELD_CONNECTION)) {
        if (fields_has_token(&req->fields, FIELD_CONNECTION, SLICE("close")))
            return true;
        if (fields_has_token(&req->fields, FIELD_CONNECTION, SLICE("keep-alive")))
            return false;
    }
    return req->minor < 1;
}

/* Refuses a request whose head is not good enough to be routed. */
static void refuse(struct client *c, struct exchange *x, const struct fault *f)
{
    become_busy(c, x);
    x->close_client = true;
    exchange_fail(x, f->status, f->what, f->rule);
    exchange_run(x);
}

/* Said in full, for it is the client's software that has to be set up in another way. */
static void refuse_misplaced(struct client *c, struct exchange *x)
{
    become_busy(c, x);
    log_info(x->id, "refused: %s", c->misplaced);
    x->close_client = true;
    x->record.ended_by = END_GATEWAY;
    x->record.end_reason = slice_str(c->misplaced);
    answer_begin(x, 400);
    answer_field(x, FIELD_CONTENT_TYPE, SLICE("text/plain; charset=utf-8"));
    answer_text(x, slice_str(c->misplaced));
    answer_text(x, SLICE("\n"));
    answer_send(x, "refused");
    exchange_run(x);
}

/* A client that knows that we speak HTTP/2 begins so (RFC 9113 3.3). PARSE_BAD: this one does not;
 * PARSE_DONE: the connection is HTTP/2's from here on. */
static enum parse try_preface(struct client *c, struct slice in)
{
    if (!c->allows_h2 || c->requests)
        return PARSE_BAD;
    enum parse found = h2_is_preface(in);
    if (found == PARSE_DONE)
        client_h2_start(c);
    return found;
}

/* Tries to take a request off what has been read. False: more bytes are needed. */
static bool take_request(struct client *c)
{
    struct slice in = stream_bytes(&c->stream);
    if (!in.n)
        return false;
    if (!c->h1.first_us)
        c->h1.first_us = c->worker->loop.now_us;
    enum parse preface = try_preface(c, in);
    if (preface != PARSE_BAD)
        return preface == PARSE_DONE;
    struct exchange *x = start_exchange(c);
    if (c->misplaced) {
        refuse_misplaced(c, x);
        return true;
    }
    size_t before = in.n;
    struct codec_result result;
    enum codec_event event =
        h1_read_request(&c->h1.reader, &in, &c->worker->limits, &x->arena, &x->req, &result);
    stream_consume(&c->stream, before - in.n);
    if (event == CODEC_MORE) {
        exchange_free(x);
        return false;
    }
    if (event == CODEC_BAD) {
        refuse(c, x, &result.fault);
        return true;
    }
    x->req_framing = result.framing;
    x->request = c->h1.reader.at == H1_END ? MSG_COMPLETE : MSG_BODY;
    become_busy(c, x);
    x->close_client = wants_close(c, &x->req);
    exchange_run(x);
    return true;
}

/* Reads; false: nothing came, or the connection is over. */
static bool read_more(struct client *c)
{
    if (!c->stream.readable)
        return false;
    ssize_t n = stream_fill_head(&c->stream);
    if (n < 0 && n != -EAGAIN)
        client_close(c, false);
    return n > 0;
}

static void park_idle(struct client *c)
{
    const struct gateway_conf *conf = client_conf(c);
    stream_settle(&c->stream);
    if (!c->h1.first_us)
        timer_set(&c->worker->loop, &c->timer, conf->idle_ms);
    else /* from the first byte on: a client cannot stretch it byte by byte */
        timer_set_at(&c->worker->loop, &c->timer, c->h1.first_us / 1000 + conf->head_ms);
}

/* Whether a connection that is between two requests ends without having been told so. */
static bool must_go(const struct client *c)
{
    return c->worker->stopping && !c->worker->is_patient;
}

static bool is_idle(const struct client *c)
{
    return c->state == CLIENT_OPEN && !c->h2 && !c->h1.x;
}

/* Who sends requests ahead that are answered at once goes on in the next turn when this one has
 * been long: others wait. */
static bool must_wait(struct client *c)
{
    bool has_more = stream_bytes(&c->stream).n || c->stream.readable;
    if (!has_more || !loop_turn_is_long(&c->worker->loop))
        return false;
    stream_again(&c->stream);
    return true;
}

/* What was to be sent soon and could not be goes first: a client that does not read is asked for
 * nothing. False: the connection is over, or waits until it has gone. */
static bool send_rest(struct client *c)
{
    if (chain_is_empty(&c->out) || c->stream.outbox_place)
        return true;
    size_t before = c->out.bytes;
    bool alive = stream_flush(&c->stream, &c->out);
    bool has_rest = !chain_is_empty(&c->out);
    if (!alive)
        client_close(c, false);
    else if (has_rest && (c->out.bytes < before || !c->has_rest))
        timer_set(&c->worker->loop, &c->timer, client_conf(c)->write_ms);
    c->has_rest = has_rest;
    return alive && !has_rest;
}

/* Nothing more comes, or is waited for. */
static bool is_over(const struct client *c)
{
    return c->is_last || c->stream.eof || (must_go(c) && !c->h1.first_us);
}

/* Drives the connection until it must wait. Exchanges that end at once come back through
 * front_done(), which leaves going on to this loop. */
static void client_run(struct client *c)
{
    uint32_t before = c->requests;
    if (c->is_running || !send_rest(c))
        return;
    c->is_running = true;
    while (is_idle(c) && !c->is_last && !(c->requests != before && must_wait(c)) &&
           (take_request(c) || read_more(c)))
        ;
    if (is_idle(c) && is_over(c)) {
        stream_leave_outbox(&c->stream);
        if (send_rest(c)) /* else when the client has taken what it was answered */
            client_close(c, false);
    } else if (is_idle(c)) {
        park_idle(c);
    }
    c->is_running = false;
}

/* What was encoded and will not be sent any more does not count. */
static void abort_unsent(struct exchange *x, const char *why)
{
    struct client *c = x->client;
    x->resp_bytes -= c->out.bytes < x->resp_bytes ? c->out.bytes : x->resp_bytes;
    chain_clear(&c->out);
    exchange_abort(x, why);
}

static void h1_on_ready(struct client *c)
{
    struct exchange *x = c->h1.x;
    if (!x) {
        client_run(c);
        return;
    }
    if (c->stream.reset)
        abort_unsent(x, "connection reset by the client");
    else if (c->stream.hup && x->request >= MSG_COMPLETE)
        x->client_gone = true;
    if (x->state != EX_RELAY && !chain_is_empty(&c->out)) /* of the response before */
        stream_flush(&c->stream, &c->out);
    exchange_run(x);
}

static void on_late_head(struct client *c)
{
    static const struct fault late = {.status = 408,
                                      .what = "request head took too long (timeout head)",
                                      .rule = "RFC 9110 15.5.9"};
    refuse(c, start_exchange(c), &late);
}

static void on_busy_due(struct exchange *x)
{
    if (x->client_wait == WAIT_READ)
        exchange_fail(x, 408, "request body stopped coming (timeout body)", "RFC 9110 15.5.9");
    else if (x->client_wait == WAIT_WRITE)
        abort_unsent(x, "client stopped reading (timeout write)");
    else
        exchange_abort(x, "client has closed its side (timeout half-closed)");
    exchange_run(x);
}

static void h1_on_due(struct client *c)
{
    if (c->h1.x && exchange_is_put_off(c->h1.x)) /* it waits for us */
        timer_set(&c->worker->loop, &c->timer, 1);
    else if (c->h1.x)
        on_busy_due(c->h1.x);
    else if (c->h1.first_us && chain_is_empty(&c->out))
        on_late_head(c);
    else
        client_close(c, false);
}

/* ---- the front of an exchange ---- */

/* One event of the reader. False: no more for now. */
static bool on_body_event(struct exchange *x, enum codec_event event,
                          const struct codec_result *result, struct buf *in)
{
    switch (event) {
    case CODEC_DATA:
        chain_put(&x->req_body, in, result->data);
        return !exchange_takes_too_much(x, result->data.n);
    case CODEC_END:
        x->req_trailers = result->trailers;
        x->request = MSG_COMPLETE;
        return false;
    case CODEC_BAD: /* where it ends nobody knows any more */
        x->close_client = x->body_unread = true;
        x->request = MSG_COMPLETE;
        exchange_fail(x, result->fault.status, result->fault.what, result->fault.rule);
        return false;
    case CODEC_HEAD:
    case CODEC_LOG:
    case CODEC_REFUSED:
    case CODEC_MORE: return false;
    }
    return false;
}

static bool decode_body(struct exchange *x)
{
    struct client *c = x->client;
    struct buf *hold = c->stream.in ? buf_ref(c->stream.in) : NULL;
    bool moved = false, more = true;
    while (more) {
        struct slice in = stream_bytes(&c->stream);
        size_t before = in.n;
        struct codec_result result;
        enum codec_event event =
            h1_read_body(&c->h1.reader, &in, &c->worker->limits, &x->arena, &result);
        stream_consume(&c->stream, before - in.n);
        moved |= event != CODEC_MORE || before != in.n;
        more = on_body_event(x, event, &result, hold);
    }
    if (hold)
        buf_unref(hold);
    return moved;
}

/* The client closed its side before its request was complete. In a tunnel that is the end of one
 * direction, no more. */
static void on_body_eof(struct exchange *x)
{
    struct client *c = x->client;
    if (c->h1.reader.kind == BODY_TUNNEL)
        x->request = MSG_COMPLETE;
    else
        exchange_abort(x, "client closed before the end of its request");
}

static bool front_take(struct exchange *x)
{
    struct client *c = x->client;
    if (!chain_room(&x->req_body))
        return false;
    if (decode_body(x)) /* also without bytes: the end may have found no room before */
        return x->client_moved = true;
    if (!c->stream.readable)
        return false;
    bool keeps_up = x->is_large && chain_is_empty(&x->req_body) && attempt_is_flushed(&x->attempt);
    ssize_t n = keeps_up ? stream_fill_deep(&c->stream) : stream_fill(&c->stream);
    if (n == -EAGAIN)
        return false;
    if (n <= 0)
        on_body_eof(x);
    else
        decode_body(x);
    return x->client_moved = true;
}

static void front_put_interim(struct exchange *x, const struct response_head *head)
{
    struct client *c = x->client;
    h1_put_interim(head, &c->out);
}

/* RFC 9112 6.1: chunked is for clients of HTTP/1.1; others see the end by the close. */
static struct framing framing_out(const struct exchange *x)
{
    struct framing framing = x->resp_framing;
    if (framing.kind == BODY_CHUNKED || framing.kind == BODY_CLOSE)
        framing.kind = x->req.minor >= 1 ? BODY_CHUNKED : BODY_CLOSE;
    return framing;
}

/* Answered without having been told to go on, the client may send its body or not (RFC 9110
 * 10.1.1): nobody could tell it from the next request. */
static bool may_never_come(const struct exchange *x)
{
    return x->request == MSG_BODY && fields_has(&x->req.fields, FIELD_EXPECT);
}

static void front_put_head(struct exchange *x)
{
    struct client *c = x->client;
    struct h1_response response = {.head = &x->resp, .framing = framing_out(x)};
    if (response.framing.kind == BODY_TUNNEL) {
        response.upgrade = x->upgrade;
        c->h1.reader.kind = BODY_TUNNEL;
        c->h1.reader.at = H1_BODY;
        x->close_client = true;
    } else if (response.framing.kind == BODY_CLOSE || c->worker->stopping || may_never_come(x)) {
        x->close_client = true;
    }
    response.close = x->close_client;
    response.keep_alive = !x->close_client && x->req.minor < 1;
    if (!fields_find(&x->resp.fields, FIELD_DATE))
        response.date = worker_date(c->worker);
    h1_put_response(&c->h1.writer, &response, &c->out);
}

static void put_end(struct exchange *x)
{
    struct client *c = x->client;
    x->response = MSG_PASSED;
    if (!h1_put_end(&c->h1.writer, &x->resp_trailers, &c->out))
        x->broken = true;
}

/* This is the end of the response, and the connection goes on after it. */
static bool stays(const struct exchange *x)
{
    return x->response == MSG_PASSED && x->request >= MSG_COMPLETE && !x->close_client &&
           !x->broken && !x->body_unread;
}

static bool front_send(struct exchange *x)
{
    struct client *c = x->client;
    bool moved = !chain_is_empty(x->outgoing) && chain_room(&c->out);
    if (moved) { /* the backend may send as much again, whether it goes out or not */
        x->resp_bytes += x->outgoing->bytes;
        h1_put_body(&c->h1.writer, x->outgoing, &c->out);
    }
    if (exchange_is_whole(x) && chain_is_empty(x->outgoing))
        put_end(x);
    c->stream.is_ending = x->close_client && x->response == MSG_PASSED && !x->broken;
    size_t before = c->out.bytes;
    if (before == 0)
        return moved;
    if (stays(x) && stream_send_soon(&c->stream, &c->out))
        return x->client_moved = true;
    bool has_backend = lane_is_open(&x->attempt.lane);
    if (!stream_flush_part(&c->stream, &c->out,
                           has_backend ? EXCHANGE_TURN_BYTES / 2 : EXCHANGE_TURN_FILE_BYTES)) {
        if (c->stream.error == -EIO)
            exchange_fail(x, 500, "a file became shorter while it was being sent", NULL);
        else
            abort_unsent(x, "client closed while the response was being sent");
        return true;
    }
    bool sent = c->out.bytes < before;
    x->flushed_bytes += before - c->out.bytes;
    x->client_moved |= sent;
    return moved || sent;
}

static bool front_is_flushed(const struct exchange *x)
{
    const struct client *c = x->client;
    return chain_is_empty(&c->out) || c->stream.outbox_place;
}

static uint64_t front_plain_left(const struct exchange *x)
{
    const struct client *c = x->client;
    if (!c->stream.transport->splice || !c->stream.readable || stream_bytes(&c->stream).n)
        return 0;
    uint64_t left = h1_plain_left(&c->h1.reader);
    bool is_limited = x->serve->body_bytes && c->h1.reader.kind != BODY_TUNNEL;
    uint64_t limit = is_limited ? x->serve->body_bytes : UINT64_MAX;
    uint64_t allowed = limit > x->req_bytes ? limit - x->req_bytes : 0;
    return left < allowed ? left : allowed;
}

static bool front_is_plain_out(const struct exchange *x)
{
    const struct client *c = x->client;
    return x->response == MSG_BODY && c->stream.transport->splice;
}

static ssize_t front_splice(struct exchange *x, int pipe_fd, size_t n)
{
    struct client *c = x->client;
    ssize_t got = stream_splice(&c->stream, pipe_fd, n);
    if (got > 0) {
        h1_plain_taken(&c->h1.reader, (uint64_t)got);
        x->req_bytes += (uint64_t)got;
        x->client_moved = true;
        if (c->h1.reader.kind == BODY_LENGTH && h1_plain_left(&c->h1.reader) == 0)
            x->request = MSG_COMPLETE;
    } else if (got != -EAGAIN) {
        on_body_eof(x);
    }
    return got;
}

static void front_set_deadline(struct exchange *x, enum wait wait)
{
    struct client *c = x->client;
    const struct gateway_conf *conf = client_conf(c);
    switch (wait) {
    case WAIT_READ: timer_set(&c->worker->loop, &c->timer, x->serve->body_ms); return;
    case WAIT_WRITE: timer_set(&c->worker->loop, &c->timer, x->serve->write_ms); return;
    case WAIT_GONE: timer_set(&c->worker->loop, &c->timer, conf->half_closed_ms); return;
    case WAIT_NOTHING:
    case WAIT_HEAD:
    case WAIT_REST:
    case WAIT_TUNNEL: timer_clear(&c->timer); return;
    }
}

static socklen_t front_local(const struct exchange *x, struct sockaddr_storage *sa)
{
    return client_local(x->client, sa);
}

static void front_done(struct exchange *x, bool broken)
{
    struct client *c = x->client;
    bool request_read = (x->request == MSG_PASSED || x->request == MSG_COMPLETE) && !x->body_unread;
    bool close = x->close_client || !request_read;
    /* Cut off without its length known, a response ends visibly only by a reset. */
    bool hard = broken && c->h1.writer.kind == BODY_CLOSE;
    exchange_free(x);
    c->h1.x = NULL;
    if (hard) {
        client_close(c, true);
    } else if (broken) { /* whole responses may be before what has broken off */
        c->is_last = true;
        stream_leave_outbox(&c->stream);
        client_run(c);
    } else if (close) {
        client_end(c, request_read);
    } else {
        h1_reader_init(&c->h1.reader);
        client_run(c);
    }
}

static const struct front h1_front = {
    .take = front_take,
    .put_interim = front_put_interim,
    .put_head = front_put_head,
    .send = front_send,
    .is_flushed = front_is_flushed,
    .plain_left = front_plain_left,
    .is_plain_out = front_is_plain_out,
    .splice = front_splice,
    .set_deadline = front_set_deadline,
    .local = front_local,
    .done = front_done,
};

/* ---- the connection ---- */

void client_h1_start(struct client *c)
{
    c->protocol = &client_h1;
    h1_reader_init(&c->h1.reader);
    /* The first edge comes with the first byte; until then there is nothing to read. */
    timer_set(&c->worker->loop, &c->timer, client_conf(c)->idle_ms);
}

/* An idle one takes a request that has just arrived, else closes. */
static void h1_stop(struct client *c)
{
    if (!c->h1.x && !c->h1.first_us)
        client_run(c);
}

static void h1_kill(struct client *c)
{
    if (!c->h1.x)
        return;
    exchange_fail(c->h1.x, 503, "the gateway is stopping (stop-timeout)", NULL);
    exchange_run(c->h1.x);
    if (!c->h1.x)
        return;
    /* The client does not take it now, and there is no later. */
    exchange_abort(c->h1.x, "the gateway is stopping (stop-timeout)");
    exchange_run(c->h1.x);
}

static const struct exchange *h1_exchange_after(const struct client *c,
                                                const struct exchange *before)
{
    return before ? NULL : c->h1.x;
}

const struct client_protocol client_h1 = {
    .name = "HTTP/1.1",
    .on_ready = h1_on_ready,
    .on_due = h1_on_due,
    .stop = h1_stop,
    .kill = h1_kill,
    .exchange_after = h1_exchange_after,
};
