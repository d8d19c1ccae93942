/* SPDX-License-Identifier: MIT */
#include "core/client_h2.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/h2.h"
#include "core/client.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "net/addr.h"

enum {
    READS_PER_TURN = 2, /* of up to BUF_LARGE each; then others get their turn */
    HEADS_BYTES = 256,  /* of what has been read, while it begins requests */
    LOSE_MIN = 8,       /* streams that end at once */
    WRITES_PER_TURN = 8,
    GOODBYE_MS = 1000, /* for the answer to a PING before the last GOAWAY */
};

/*  SERVING  takes streams
 *  NOTICED  has said that it will stop, and takes what comes before the client knows
 *  LEAVING  takes no more; ends with the last stream */
enum phase { SERVING, NOTICED, LEAVING };

/* Which deadline the connection is under. */
enum waits { WAITS_NOT, WAITS_IDLE, WAITS_HEAD, WAITS_WRITE, WAITS_GOODBYE };

struct client_h2 {
    struct client *client;
    struct h2 *session;
    struct deferred turn;
    struct timer rests; /* until the ends of requests that are answered are waited for */
    enum phase phase;
    enum waits waits;
    uint32_t waits_since;   /* how many requests there had been */
    uint32_t feed_bytes;    /* how much of what has been read is acted on at once */
    const char *lost_why;   /* no stream is served any more; NULL: they are */
    bool may_linger;        /* once a lost connection has no streams */
    uint64_t wrote_ms;      /* when the client took bytes last */
    struct slice peer_text; /* its own */
};

/* What an exchange needs of its stream, in its arena. */
struct front_lane {
    struct client *client;
    struct h2_stream *stream;
    struct exchange *exchange;
    struct timer timer;
};

static const struct front h2_front;

static void turn_soon(struct client *c)
{
    loop_defer(&c->worker->loop, &c->h2->turn);
}

/* ---- streams and their exchanges ---- */

/* The connection's turn, which the end of the exchange brings about, sees whether that was one too
 * many. */
static void on_stall(const struct front_lane *lane)
{
    struct exchange *x = lane->exchange;
    h2_note_stall(lane->client->h2->session, x->worker->loop.now_us);
    exchange_abort(x, "client stopped reading (timeout write)");
}

static void on_lane_due(struct timer *t)
{
    struct front_lane *lane = container_of(t, struct front_lane, timer);
    struct exchange *x = lane->exchange;
    const struct client_h2 *h2 = lane->client->h2;
    uint32_t write_ms = x->serve->write_ms;
    uint64_t now_ms = x->worker->loop.now_ms;
    if (exchange_is_put_off(x)) { /* it waits for us */
        timer_set(&x->worker->loop, t, 1);
        return;
    }
    if (x->client_wait == WAIT_READ)
        exchange_fail(x, 408, "request body stopped coming (timeout body)", "RFC 9110 15.5.9");
    else if (h2_is_held(lane->stream))
        on_stall(lane);
    else if (now_ms - h2->wrote_ms >= write_ms)
        exchange_abort(x, "client stopped reading (timeout write)");
    else /* it reads, but what others are sent: no fault of this stream */
        timer_set(&x->worker->loop, &lane->timer, write_ms);
    exchange_run(x);
}

static struct front_lane *lane_new(struct client *c, struct h2_stream *s, struct exchange *x)
{
    struct front_lane *lane = arena_alloc(&x->arena, sizeof(*lane));
    *lane = (struct front_lane){.client = c, .stream = s, .exchange = x};
    timer_init(&lane->timer, on_lane_due);
    return lane;
}

static void begin_exchange(struct client *c, struct h2_stream *s)
{
    struct exchange *x = client_exchange(c, s->begin_us);
    uint32_t limit = client_conf(c)->conn_requests;
    x->arena = s->own;
    s->arena = &x->arena;
    s->owner = x;
    x->front = &h2_front;
    x->client = lane_new(c, s, x);
    x->peer_text = c->h2->peer_text;
    x->req = s->head;
    x->req_framing = s->framing;
    x->request = s->framing.kind == BODY_NONE ? MSG_COMPLETE : MSG_BODY;
    if (++c->requests == limit)
        client_h2.stop(c);
    if (s->fault.status)
        exchange_fail(x, s->fault.status, s->fault.what, s->fault.rule);
    exchange_run(x);
}

/* Tells the exchanges what has happened to their streams, and begins those of new ones. False: a
 * read may bring a hundred; the next turn goes on. */
static bool run_news(struct client *c)
{
    struct h2_stream *s;
    unsigned news;
    while ((s = h2_next(c->h2->session, &news))) {
        struct exchange *x = s->owner;
        if (news & H2_REQUEST) {
            begin_exchange(c, s);
            if (!loop_turn_is_long(&c->worker->loop))
                continue;
            turn_soon(c);
            return false;
        }
        x->resp_bytes = s->sent_bytes;
        x->client_moved |= (news & H2_ROOM) != 0;
        if (news & H2_GONE)
            exchange_abort(x, h2_gone_text(s));
        exchange_run(x);
    }
    return true;
}

/* ---- the connection ---- */

/* Ends its streams, each of which may have a connection of a backend to close, as the turn allows;
 * then the connection. */
static void go_on_losing(struct client *c)
{
    struct h2_stream *s;
    for (unsigned ended = 0; (s = h2_any(c->h2->session)); ended++) {
        if (ended >= LOSE_MIN && loop_turn_is_long(&c->worker->loop)) {
            turn_soon(c);
            return;
        }
        struct exchange *x = s->owner;
        exchange_abort(x, c->h2->lost_why);
        exchange_run(x);
    }
    if (c->h2->may_linger && chain_is_empty(&c->out))
        client_end(c, false);
    else
        client_close(c, c->h2->may_linger);
}

static void lose(struct client *c, const char *why)
{
    c->h2->lost_why = why;
    timer_clear(&c->timer);
    for (struct h2_stream *s = NULL; (s = h2_stream_after(c->h2->session, s));)
        if (s->owner) /* nothing is tried again for it */
            ((struct exchange *)s->owner)->client_gone = true;
    go_on_losing(c);
}

/* Acts on what has been read: heads a few at a time, as a read may hold a hundred; of a body, soon
 * all. False: the next turn goes on. */
static bool feed(struct client *c)
{
    struct client_h2 *h2 = c->h2;
    struct slice in;
    while ((in = stream_bytes(&c->stream)).n) {
        uint32_t before = c->requests;
        if (in.n > h2->feed_bytes)
            in.n = h2->feed_bytes;
        h2_feed(h2->session, in, c->stream.in, c->worker->loop.now_us);
        stream_consume(&c->stream, in.n);
        bool is_told = run_news(c);
        if (c->requests != before)
            h2->feed_bytes = HEADS_BYTES;
        else if (!h2_is_in_head(h2->session) && h2->feed_bytes < BUF_LARGE)
            h2->feed_bytes *= 2;
        if (!is_told)
            return false;
    }
    return true;
}

/* Reads and acts on it. False: the connection is lost. */
static bool read_some(struct client *c)
{
    /* What an earlier turn has left comes first. */
    bool is_told = run_news(c) && feed(c);
    for (int i = 0; is_told && i < READS_PER_TURN && c->stream.readable; i++) {
        ssize_t n = stream_fill(&c->stream);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            lose(c, n ? "connection reset by the client" : "client closed its connection");
            return false;
        }
        is_told = feed(c);
    }
    return true;
}

/* Sends what is due. False: the connection is lost. */
static bool write_some(struct client *c)
{
    struct client_h2 *h2 = c->h2;
    for (int i = 0; i < WRITES_PER_TURN; i++) {
        h2_emit(h2->session, &c->out, NULL);
        size_t before = c->out.bytes;
        if (!before)
            return true;
        if (!stream_flush(&c->stream, &c->out)) {
            lose(c, c->stream.error == -EIO ? "a file became shorter while it was being sent"
                                            : "client closed while responses were being sent");
            return false;
        }
        if (c->out.bytes < before)
            h2->wrote_ms = c->worker->loop.now_ms;
        if (!run_news(c) || !c->stream.writable)
            return true; /* the next turn, or the next edge, goes on */
    }
    turn_soon(c);
    return true;
}

static void log_end(struct client *c)
{
    const struct client_h2 *h2 = c->h2;
    enum h2_abuse abuse = h2_abuse_found(h2->session);
    const char *why = h2_error_text(h2->session);
    if (abuse != H2_ABUSE_NONE) {
        counter_add(&c->worker->stats.abuses[abuse], 1);
        log_warn(0, "client " SLICE_FMT ": HTTP/2 connection closed: %s", SLICE_ARG(h2->peer_text),
                 h2_abuse_text(abuse));
    } else if (why) {
        log_info(0, "client " SLICE_FMT ": HTTP/2 connection closed: %s", SLICE_ARG(h2->peer_text),
                 why);
    }
}

/* An abuser that reads nothing is not waited for. */
static bool is_worth_waiting(const struct client *c)
{
    return !chain_is_empty(&c->out) && h2_abuse_found(c->h2->session) != H2_ABUSE_waiting;
}

/* True: the connection has come to its end, and is being closed. */
static bool close_if_over(struct client *c)
{
    struct client_h2 *h2 = c->h2;
    if (h2->phase == NOTICED && h2_notice_arrived(h2->session)) {
        h2->phase = LEAVING;
        h2_goodbye(h2->session);
        turn_soon(c);
        return false;
    }
    if (!h2_is_over(h2->session) || is_worth_waiting(c))
        return false;
    log_end(c);
    h2->may_linger = true;
    lose(c, "HTTP/2 connection ended by an error of the client");
    return true;
}

static enum waits what_it_waits_for(const struct client *c)
{
    const struct client_h2 *h2 = c->h2;
    if (!chain_is_empty(&c->out))
        return WAITS_WRITE;
    if (h2->phase == NOTICED)
        return WAITS_GOODBYE;
    if (h2_is_in_head(h2->session))
        return WAITS_HEAD;
    return h2_is_idle(h2->session) ? WAITS_IDLE : WAITS_NOT;
}

static uint32_t wait_ms(const struct client *c, enum waits waits)
{
    const struct gateway_conf *conf = client_conf(c);
    switch (waits) {
    case WAITS_NOT: return 0;
    case WAITS_IDLE: return conf->idle_ms;
    case WAITS_HEAD: return conf->head_ms;
    case WAITS_WRITE: return h2_is_over(c->h2->session) ? conf->linger_ms : conf->write_ms;
    case WAITS_GOODBYE: return GOODBYE_MS;
    }
    return 0;
}

/* A deadline runs from when its reason began; that for writing, from the last byte taken, and being
 * idle begins anew with each request, though it may have been answered at once. */
static void set_deadline(struct client *c)
{
    struct client_h2 *h2 = c->h2;
    enum waits waits = what_it_waits_for(c);
    bool moved = waits == WAITS_WRITE && h2->wrote_ms == c->worker->loop.now_ms;
    if (waits == h2->waits && !moved && c->requests == h2->waits_since)
        return;
    h2->waits = waits;
    h2->waits_since = c->requests;
    if (waits == WAITS_NOT)
        timer_clear(&c->timer);
    else
        timer_set(&c->worker->loop, &c->timer, wait_ms(c, waits));
}

static void on_turn(struct deferred *d)
{
    struct client *c = container_of(d, struct client_h2, turn)->client;
    if (c->state == CLIENT_OPEN && c->h2->lost_why) {
        go_on_losing(c);
        return;
    }
    if (c->state != CLIENT_OPEN || !read_some(c) || !write_some(c) || close_if_over(c))
        return;
    if (c->stream.readable)
        turn_soon(c);
    set_deadline(c);
}

static void h2_on_ready(struct client *c)
{
    if (c->h2->lost_why)
        turn_soon(c);
    else if (c->stream.reset)
        lose(c, "connection reset by the client");
    else if (loop_turn_is_long(&c->worker->loop) || read_some(c))
        turn_soon(c);
}

static void h2_on_due(struct client *c)
{
    struct client_h2 *h2 = c->h2;
    switch (h2->waits) {
    case WAITS_NOT: return;
    case WAITS_WRITE: lose(c, "client stopped reading (timeout write)"); return;
    case WAITS_GOODBYE:
    case WAITS_IDLE:
        h2->phase = LEAVING;
        h2_goodbye(h2->session);
        break;
    case WAITS_HEAD:
        log_info(0, "client " SLICE_FMT ": request head took too long (timeout head)",
                 SLICE_ARG(h2->peer_text));
        h2_give_up(h2->session);
        break;
    }
    h2->waits = WAITS_NOT;
    turn_soon(c);
}

/* As HTTP/1.1 does it with a connection, see client_end(). */
static void on_rests_due(struct timer *t)
{
    struct client_h2 *h2 = container_of(t, struct client_h2, rests);
    struct client *c = h2->client;
    uint64_t now_us = c->worker->loop.now_us, linger_ms = client_conf(c)->linger_ms;
    uint64_t next_us = h2_reset_rests(h2->session, now_us - linger_ms * 1000);
    if (next_us)
        timer_set(&c->worker->loop, t, linger_ms - (now_us - next_us) / 1000);
    turn_soon(c);
}

static void h2_stop(struct client *c)
{
    if (c->h2->phase != SERVING)
        return;
    c->h2->phase = NOTICED;
    h2_notice(c->h2->session);
    turn_soon(c);
}

static void h2_kill(struct client *c)
{
    struct h2_stream *s;
    while ((s = h2_any(c->h2->session))) {
        struct exchange *x = s->owner;
        if (x->response == MSG_NONE)
            exchange_fail(x, 503, "the gateway is stopping (stop-timeout)", NULL);
        else
            exchange_abort(x, "the gateway is stopping (stop-timeout)");
        exchange_run(x);
    }
    if (c->h2->lost_why)
        return;
    h2_emit(c->h2->session, &c->out, NULL);
    stream_flush(&c->stream, &c->out);
}

static const struct exchange *h2_exchange_after(const struct client *c,
                                                const struct exchange *before)
{
    const struct front_lane *lane = before ? before->client : NULL;
    const struct h2_stream *s = h2_stream_after(c->h2->session, lane ? lane->stream : NULL);
    return s ? s->owner : NULL;
}

static void h2_fini(struct client *c)
{
    list_remove(&c->h2->turn.node);
    timer_fini(&c->worker->loop, &c->h2->rests);
    h2_free(c->h2->session);
    free((char *)(uintptr_t)c->h2->peer_text.p);
    free(c->h2);
    c->h2 = NULL;
}

const struct client_protocol client_h2 = {
    .name = "HTTP/2",
    .on_ready = h2_on_ready,
    .on_due = h2_on_due,
    .stop = h2_stop,
    .kill = h2_kill,
    .exchange_after = h2_exchange_after,
    .fini = h2_fini,
};

static void fill_random(unsigned char *p, size_t n)
{
    ssize_t got = getrandom(p, n, 0);
    (void)got; /* fewer than 256 bytes come at once, once the kernel's pool is filled */
}

static void set_peer_text(struct client_h2 *h2, const struct client *c)
{
    char room[NET_ADDR_TEXT_MAX];
    struct text t = text_of(room, sizeof(room));
    client_put_peer(c, &t);
    struct slice s = text_slice(&t);
    h2->peer_text = slice_of(mem_dup(s.p, s.n), s.n);
}

void client_h2_start(struct client *c)
{
    const struct gateway_conf *conf = client_conf(c);
    struct h2_conf session = {.streams = conf->h2_streams,
                              .window = (uint32_t)conf->window,
                              .limits = c->worker->limits,
                              .random = fill_random};
    memcpy(session.abuse, conf->h2_abuse, sizeof(session.abuse));
    struct client_h2 *h2 = mem_zalloc(sizeof(*h2));
    h2->client = c;
    h2->feed_bytes = HEADS_BYTES;
    h2->session = h2_new(&session, &c->worker->loop.bufs);
    deferred_init(&h2->turn, on_turn);
    timer_init(&h2->rests, on_rests_due);
    set_peer_text(h2, c);
    c->h2 = h2;
    c->protocol = &client_h2;
    timer_clear(&c->timer);
    (void)feed(c); /* what has been read already; the connection's turn goes on with it */
    if (c->worker->stopping)
        h2_stop(c);
    turn_soon(c);
}

/* ---- the front of an exchange ---- */

static void end_request(struct exchange *x, const struct h2_stream *s)
{
    x->request = MSG_COMPLETE;
    if (s->fault.status)
        exchange_fail(x, s->fault.status, s->fault.what, s->fault.rule);
    else
        x->req_trailers = s->trailers;
}

static bool front_take(struct exchange *x)
{
    struct front_lane *lane = x->client;
    struct h2_stream *s = lane->stream;
    size_t n = h2_take(s, &x->req_body, chain_room(&x->req_body));
    if (n) {
        x->client_moved = true;
        turn_soon(lane->client);
        if (exchange_takes_too_much(x, n))
            return true;
    }
    if (!s->ended || !chain_is_empty(&s->in))
        return n > 0;
    end_request(x, s);
    return x->client_moved = true;
}

static void front_put_interim(struct exchange *x, const struct response_head *head)
{
    struct front_lane *lane = x->client;
    h2_put_interim(lane->stream, head);
    turn_soon(lane->client);
}

/* RFC 8441 5: 101 becomes 200, and no other success may look like one. */
static void translate_upgrade(struct exchange *x)
{
    if (x->resp_framing.kind != BODY_TUNNEL) {
        if (x->resp.status / 100 == 2)
            x->resp.status = 502;
        return;
    }
    x->resp.status = 200;
    struct field *accept = fields_find_name(&x->resp.fields, SLICE("Sec-WebSocket-Accept"));
    if (accept)
        accept->dropped = true;
}

static void front_put_head(struct exchange *x)
{
    struct front_lane *lane = x->client;
    if (lane->stream->is_websocket)
        translate_upgrade(x);
}

/* The head goes out with what is there of the body, so that a short response is two frames and its
 * end at once. */
static void put_response(struct exchange *x, struct h2_stream *s)
{
    bool is_whole = exchange_is_whole(x) && chain_is_empty(x->outgoing) && x->resp_trailers.n == 0;
    struct slice date = SLICE_NONE;
    if (!fields_find(&x->resp.fields, FIELD_DATE))
        date = worker_date(x->worker);
    h2_put_response(s, &x->resp, date, x->outgoing, !is_whole && x->resp_framing.kind != BODY_NONE);
}

static bool front_send(struct exchange *x)
{
    struct front_lane *lane = x->client;
    struct h2_stream *s = lane->stream;
    uint64_t before = s->sent_bytes;
    if (x->response == MSG_NONE || lane->client->h2->lost_why)
        return false;
    s->complete = exchange_is_whole(x);
    s->resp_trailers = &x->resp_trailers;
    if (!s->responded)
        put_response(x, s);
    else
        h2_resume(s);
    h2_emit(lane->client->h2->session, &lane->client->out, s);
    turn_soon(lane->client);
    if (s->passed && x->response == MSG_COMPLETE)
        x->response = MSG_PASSED;
    x->resp_bytes = s->sent_bytes;
    bool moved = s->sent_bytes > before;
    x->client_moved |= moved;
    return moved || x->response == MSG_PASSED;
}

static bool front_is_flushed(const struct exchange *x)
{
    return chain_is_empty(x->outgoing) && x->response != MSG_COMPLETE;
}

static uint64_t front_plain_left(const struct exchange *x)
{
    (void)x;
    return 0; /* everything is in frames */
}

static bool front_is_plain_out(const struct exchange *x)
{
    (void)x;
    return false;
}

static void front_set_deadline(struct exchange *x, enum wait wait)
{
    struct front_lane *lane = x->client;
    switch (wait) {
    case WAIT_READ: timer_set(&x->worker->loop, &lane->timer, x->serve->body_ms); return;
    case WAIT_WRITE: timer_set(&x->worker->loop, &lane->timer, x->serve->write_ms); return;
    case WAIT_GONE:
    case WAIT_NOTHING:
    case WAIT_HEAD:
    case WAIT_REST:
    case WAIT_TUNNEL: timer_clear(&lane->timer); return;
    }
}

static socklen_t front_local(const struct exchange *x, struct sockaddr_storage *sa)
{
    const struct front_lane *lane = x->client;
    return client_local(lane->client, sa);
}

static void front_done(struct exchange *x, bool broken)
{
    struct front_lane *lane = x->client;
    struct client *c = lane->client;
    struct h2_stream *s = lane->stream;
    timer_fini(&x->worker->loop, &lane->timer);
    h2_release(s,
               !broken                   ? H2_DONE
               : x->response == MSG_NONE ? H2_CANCELLED
                                         : H2_BROKEN,
               c->worker->loop.now_us);
    exchange_free(x);
    if (h2_has_rests(c->h2->session) && !c->h2->rests.due_ms)
        timer_set(&c->worker->loop, &c->h2->rests, client_conf(c)->linger_ms);
    if (!c->h2->lost_why)
        turn_soon(c);
}

static const struct front h2_front = {
    .is_shared = true,
    .take = front_take,
    .put_interim = front_put_interim,
    .put_head = front_put_head,
    .send = front_send,
    .is_flushed = front_is_flushed,
    .plain_left = front_plain_left,
    .is_plain_out = front_is_plain_out,
    .set_deadline = front_set_deadline,
    .local = front_local,
    .done = front_done,
};
