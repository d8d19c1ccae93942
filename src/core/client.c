/* SPDX-License-Identifier: MIT */
#include "core/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/h1.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "http/status.h"
#include "net/addr.h"

/*  IDLE    waits for a request, or for the rest of a head
 *  BUSY    an exchange is under way
 *  LINGER  answered for good: reads and discards until the client closes, so that what it still
 *          sends does not reset the connection before it has read the response (RFC 9112 9.6)
 *  CLOSED  freed at the end of the turn */
enum client_state { CLIENT_IDLE, CLIENT_BUSY, CLIENT_LINGER, CLIENT_CLOSED };
static const char *const state_names[] = {"idle", "busy", "linger", "closed"};

struct client {
    struct stream stream;
    struct timer timer;
    struct deferred free;
    struct list node;
    struct worker *worker;
    struct exchange *x; /* BUSY */
    struct chain out;
    struct h1_reader reader;
    struct h1_writer writer;
    uint64_t since_ms; /* accepted */
    uint64_t first_us; /* when the head under way began; 0: nothing of it yet */
    uint32_t requests;
    enum client_state state;
    bool running; /* client_run() is on the stack */
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } peer;
};

static const struct front h1_front;

static const struct gateway_conf *conf_of(const struct client *c)
{
    return &c->worker->snapshot->gateway;
}

/* ---- life of the connection ---- */

static void free_client(struct deferred *d)
{
    struct client *c = container_of(d, struct client, free);
    timer_fini(&c->worker->loop, &c->timer);
    free(c);
}

static void client_close(struct client *c, bool hard)
{
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    chain_clear(&c->out);
    stream_close(&c->stream, hard);
    timer_clear(&c->timer);
    list_remove(&c->node);
    loop_defer(&c->worker->loop, &c->free);
    worker_client_left(c->worker);
}

/* Reads what still comes and throws it away; true: the client has closed, or misbehaves. */
static bool drain(struct client *c)
{
    while (c->stream.readable) {
        stream_consume(&c->stream, stream_bytes(&c->stream).n);
        ssize_t n = stream_fill(&c->stream);
        if (n == -EAGAIN)
            return false;
        if (n <= 0)
            return true;
    }
    stream_consume(&c->stream, stream_bytes(&c->stream).n);
    return false;
}

static void linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    stream_finish(&c->stream);
    timer_set(&c->worker->loop, &c->timer, conf_of(c)->linger_ms);
    if (drain(c))
        client_close(c, false);
}

/* ---- requests ---- */

static struct slice peer_text(struct exchange *x, const struct client *c)
{
    if (c->peer.sa.sa_family == AF_UNIX)
        return SLICE("unix");
    char *p = arena_alloc(&x->arena, NET_ADDR_TEXT_MAX);
    struct net_addr a;
    net_addr_set(&a, &c->peer.sa, sizeof(c->peer));
    struct text t = text_of(p, NET_ADDR_TEXT_MAX);
    net_addr_put_host(&t, &a);
    return text_slice(&t);
}

static struct exchange *start_exchange(struct client *c)
{
    struct exchange *x = exchange_new(c->worker);
    x->front = &h1_front;
    x->client = c;
    x->peer = &c->peer.sa;
    x->start_us = c->first_us;
    x->read_us = c->worker->loop.now_us;
    return x;
}

static void become_busy(struct client *c, struct exchange *x)
{
    x->peer_text = peer_text(x, c);
    c->x = x;
    c->state = CLIENT_BUSY;
    c->first_us = 0;
    c->requests++;
    timer_clear(&c->timer);
}

/* RFC 9112 9.3: persistence is the default of 1.1 and must be asked for in 1.0. */
static bool wants_close(const struct client *c, const struct request_head *req)
{
    uint32_t limit = conf_of(c)->conn_requests;
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

/* Tries to take a request off what has been read. False: more bytes are needed. */
static bool take_request(struct client *c)
{
    struct slice in = stream_bytes(&c->stream);
    if (!in.n)
        return false;
    if (!c->first_us)
        c->first_us = c->worker->loop.now_us;
    struct exchange *x = start_exchange(c);
    size_t before = in.n;
    struct codec_result result;
    enum codec_event event =
        h1_read_request(&c->reader, &in, &c->worker->limits, &x->arena, &x->req, &result);
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
    x->request = c->reader.at == H1_END ? MSG_COMPLETE : MSG_BODY;
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
    ssize_t n = stream_fill(&c->stream);
    if (n > 0)
        return true;
    if (n != -EAGAIN)
        client_close(c, false);
    return false;
}

static void park_idle(struct client *c)
{
    const struct gateway_conf *conf = conf_of(c);
    stream_settle(&c->stream);
    if (!c->first_us)
        timer_set(&c->worker->loop, &c->timer, conf->idle_ms);
    else /* from the first byte on: a client cannot stretch it byte by byte */
        timer_set_at(&c->worker->loop, &c->timer, c->first_us / 1000 + conf->head_ms);
}

/* Drives the connection until it must wait. Exchanges that end at once come back through
 * front_done(), which leaves going on to this loop. */
static void client_run(struct client *c)
{
    if (c->running)
        return;
    c->running = true;
    while (c->state == CLIENT_IDLE && (take_request(c) || read_more(c)))
        ;
    if (c->state == CLIENT_IDLE) {
        if (c->worker->stopping && !c->first_us)
            client_close(c, false);
        else
            park_idle(c);
    }
    c->running = false;
}

static void on_ready(struct stream *s)
{
    struct client *c = container_of(s, struct client, stream);
    switch (c->state) {
    case CLIENT_IDLE: client_run(c); return;
    case CLIENT_BUSY:
        if (s->reset)
            exchange_abort(c->x, "connection reset by the client");
        else if (s->hup && c->x->request >= MSG_COMPLETE)
            c->x->client_gone = true;
        exchange_run(c->x);
        return;
    case CLIENT_LINGER:
        if (drain(c))
            client_close(c, false);
        return;
    case CLIENT_CLOSED: return;
    }
}

static void on_late_head(struct client *c)
{
    static const struct fault late = {
        .status = 408, .what = "request head took too long (timeout head)", .rule = "RFC 9110 15.5.9"};
    refuse(c, start_exchange(c), &late);
}

static void on_due(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);
    switch (c->state) {
    case CLIENT_IDLE:
        if (c->first_us)
            on_late_head(c);
        else
            client_close(c, false);
        return;
    case CLIENT_BUSY:
        if (c->x->client_wait == WAIT_READ)
            exchange_fail(c->x, 408, "request body stopped coming (timeout body)",
                          "RFC 9110 15.5.9");
        else if (c->x->client_wait == WAIT_WRITE)
            exchange_abort(c->x, "client stopped reading (timeout write)");
        else
            exchange_abort(c->x, "client has closed its side (timeout half-closed)");
        exchange_run(c->x);
        return;
    case CLIENT_LINGER: client_close(c, false); return;
    case CLIENT_CLOSED: return;
    }
}

void client_accept(struct worker *w, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct client *c = mem_zalloc(sizeof(*c));
    c->worker = w;
    memcpy(&c->peer, addr, len < sizeof(c->peer) ? len : sizeof(c->peer));
    if (len < sizeof(addr->sa_family))
        c->peer.sa.sa_family = AF_UNIX;
    list_init(&c->node);
    timer_init(&c->timer, on_due);
    deferred_init(&c->free, free_client);
    chain_init(&c->out, &w->loop.bufs, w->snapshot->gateway.window);
    h1_reader_init(&c->reader);
    if (stream_open(&c->stream, &w->loop, fd, on_ready) < 0) {
        free(c);
        return;
    }
    c->since_ms = w->loop.now_ms;
    list_append(&w->clients, &c->node);
    worker_client_joined(w);
    /* The first edge comes with the first byte; until then there is nothing to read. */
    timer_set(&w->loop, &c->timer, conf_of(c)->idle_ms);
}

/* ---- the front of an exchange ---- */

static bool over_limit(struct exchange *x, size_t n)
{
    x->req_bytes += n;
    if (!x->route || !x->route->body_bytes || x->req_bytes <= x->route->body_bytes)
        return false;
    exchange_fail(x, 413, "request body is larger than the limit", "RFC 9110 15.5.14");
    return true;
}

/* One event of the reader. False: no more for now. */
static bool on_body_event(struct exchange *x, enum codec_event event,
                          const struct codec_result *result, struct buf *in)
{
    switch (event) {
    case CODEC_DATA:
        chain_put(&x->req_body, in, result->data);
        return !over_limit(x, result->data.n) && chain_room(&x->req_body);
    case CODEC_END:
        x->req_trailers = result->trailers;
        x->request = MSG_COMPLETE;
        return false;
    case CODEC_BAD:
        x->close_client = true;
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
            h1_read_body(&c->reader, &in, &c->worker->limits, &x->arena, &result);
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
    if (c->reader.framing.kind == BODY_TUNNEL)
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
    ssize_t n = stream_fill(&c->stream);
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
        c->reader.framing.kind = BODY_TUNNEL;
        c->reader.at = H1_BODY;
        x->close_client = true;
    } else if (response.framing.kind == BODY_CLOSE || c->worker->stopping || may_never_come(x)) {
        x->close_client = true;
    }
    response.close = x->close_client;
    response.keep_alive = !x->close_client && x->req.minor < 1;
    if (!fields_find(&x->resp.fields, FIELD_DATE))
        response.date = worker_date(c->worker);
    h1_put_response(&c->writer, &response, &c->out);
}

static void put_end(struct exchange *x)
{
    struct client *c = x->client;
    x->response = MSG_PASSED;
    if (!h1_put_end(&c->writer, &x->resp_trailers, &c->out))
        x->broken = true;
}

static bool front_send(struct exchange *x)
{
    struct client *c = x->client;
    if (!chain_is_empty(&x->resp_body) && chain_room(&c->out)) {
        x->resp_bytes += x->resp_body.bytes;
        h1_put_body(&c->writer, &x->resp_body, &c->out);
    }
    if (x->response == MSG_COMPLETE && chain_is_empty(&x->resp_body))
        put_end(x);
    size_t before = c->out.bytes;
    if (before == 0)
        return false;
    if (!stream_flush(&c->stream, &c->out)) {
        exchange_abort(x, "client closed while the response was being sent");
        return true;
    }
    bool moved = c->out.bytes < before;
    x->client_moved |= moved;
    return moved;
}

static bool front_is_flushed(const struct exchange *x)
{
    const struct client *c = x->client;
    return chain_is_empty(&c->out);
}

static uint64_t front_plain_left(const struct exchange *x)
{
    const struct client *c = x->client;
    bool possible = c->stream.readable && !stream_bytes(&c->stream).n &&
                    !(x->route && x->route->body_bytes && c->reader.framing.kind != BODY_LENGTH);
    return possible ? h1_plain_left(&c->reader) : 0;
}

static bool front_is_plain_out(const struct exchange *x)
{
    const struct client *c = x->client;
    return x->response == MSG_BODY && h1_is_plain(&c->writer);
}

static ssize_t front_splice(struct exchange *x, int pipe_fd, size_t n)
{
    struct client *c = x->client;
    ssize_t got = stream_splice(&c->stream, pipe_fd, n);
    if (got > 0) {
        h1_plain_taken(&c->reader, (uint64_t)got);
        x->req_bytes += (uint64_t)got;
        x->client_moved = true;
        if (h1_plain_left(&c->reader) == 0)
            x->request = MSG_COMPLETE;
    } else if (got != -EAGAIN) {
        on_body_eof(x);
    }
    return got;
}

static void front_set_deadline(struct exchange *x, enum wait wait)
{
    struct client *c = x->client;
    const struct gateway_conf *conf = conf_of(c);
    switch (wait) {
    case WAIT_READ: timer_set(&c->worker->loop, &c->timer, conf->body_ms); return;
    case WAIT_WRITE: timer_set(&c->worker->loop, &c->timer, conf->write_ms); return;
    case WAIT_GONE: timer_set(&c->worker->loop, &c->timer, conf->half_closed_ms); return;
    case WAIT_NOTHING:
    case WAIT_HEAD:
    case WAIT_TUNNEL: timer_clear(&c->timer); return;
    }
}

static socklen_t front_local(const struct exchange *x, struct sockaddr_storage *sa)
{
    const struct client *c = x->client;
    socklen_t len = sizeof(*sa);
    return getsockname(c->stream.watch.fd, (struct sockaddr *)sa, &len) == 0 ? len : 0;
}

/* Unread bytes of the client would turn our close into a reset that can overtake the response. */
static void end_connection(struct client *c, bool request_read)
{
    bool nothing_waits = request_read && !c->stream.readable && !stream_bytes(&c->stream).n;
    if (nothing_waits || c->stream.eof)
        client_close(c, false);
    else
        linger(c);
}

static void front_done(struct exchange *x, bool broken)
{
    struct client *c = x->client;
    bool request_read = x->request == MSG_PASSED || x->request == MSG_COMPLETE;
    bool close = x->close_client || !request_read;
    /* Cut off without its length known, a response ends visibly only by a reset. */
    bool hard = broken && c->writer.framing.kind == BODY_CLOSE;
    exchange_free(x);
    c->x = NULL;
    c->state = CLIENT_IDLE;
    if (broken) {
        client_close(c, hard);
    } else if (close || c->worker->stopping) {
        end_connection(c, request_read);
    } else {
        h1_reader_init(&c->reader);
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

/* ---- being looked at ---- */

static void copy_text(char *to, size_t room, struct slice from)
{
    size_t n = from.n < room - 1 ? from.n : room - 1;
    if (n)
        memcpy(to, from.p, n);
    to[n] = '\0';
}

static void view_exchange(const struct exchange *x, uint64_t now_us, struct client_view *v)
{
    v->id = x->id;
    v->exchange_state = exchange_state_name(x->state);
    v->exchange_age_ms = now_us > x->start_us ? (now_us - x->start_us) / 1000 : 0;
    v->attempts = x->attempt.count;
    v->received_bytes = x->req_bytes;
    v->sent_bytes = x->resp_bytes;
    copy_text(v->method, sizeof(v->method), x->req.method_text);
    copy_text(v->target, sizeof(v->target), x->req.target);
    if (x->attempt.pool)
        copy_text(v->pool, sizeof(v->pool), x->attempt.pool->conf->name);
    if (x->attempt.backend)
        copy_text(v->backend, sizeof(v->backend), slice_str(x->attempt.backend->text));
}

static void view_client(const struct client *c, struct client_view *v)
{
    struct net_addr a;
    struct text t = text_of(v->client, sizeof(v->client) - 1);
    net_addr_set(&a, &c->peer.sa, sizeof(c->peer));
    if (c->peer.sa.sa_family == AF_UNIX)
        text_lit(&t, "unix");
    else
        net_addr_put(&t, &a);
    v->state = state_names[c->state];
    v->age_ms = c->worker->loop.now_ms - c->since_ms;
    v->requests = c->requests;
    if (c->x)
        view_exchange(c->x, c->worker->loop.now_us, v);
}

void clients_view(struct worker *w, void (*show)(void *ctx, const struct client_view *view),
                  void *ctx)
{
    list_each (node, &w->clients) {
        struct client_view v = {0};
        view_client(container_of(node, struct client, node), &v);
        show(ctx, &v);
    }
}

/* ---- stopping ---- */

void clients_stop(struct worker *w)
{
    list_each_safe (node, &w->clients) {
        struct client *c = container_of(node, struct client, node);
        if (c->state == CLIENT_IDLE && !c->first_us)
            client_run(c); /* takes a request that has just arrived, else closes */
    }
}

void clients_kill(struct worker *w)
{
    list_each_safe (node, &w->clients) {
        struct client *c = container_of(node, struct client, node);
        if (c->state == CLIENT_BUSY) {
            exchange_fail(c->x, 503, "the gateway is stopping (stop-timeout)", NULL);
            exchange_run(c->x);
        }
        client_close(c, false);
    }
}
