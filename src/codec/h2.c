/* SPDX-License-Identifier: MIT */
#include "codec/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
    SEND_BLOCK_MAX = 1 << 20, /* bytes of a response's field section before compression */
    WINDOWS = 16,             /* of streams in the connection's: it never holds one up */
    REFER_MAX =
        256 * 1024, /* beyond, bodies are copied: who refers to reads pins more than he holds */
    ERROR_MAX = 160,
};

struct h2 {
    nghttp2_session *session;
    struct h2_conf conf;
    struct buf_pool *bufs;
    struct list streams, news; /* of struct h2_stream */
    struct h2_section section; /* the one under way */
    struct h2_stream *reading; /* whose it is; NULL: nobody wants it */
    bool in_head;
    bool is_over;

    struct buf *hold; /* during h2_feed() */
    uint64_t now_us;
    size_t held_bytes; /* in all streams' in */

    struct chain *out; /* during h2_emit() */
    const struct h2_stream *sending;

    enum h2_abuse abuse;
    uint32_t counts[H2_ABUSES]; /* since counted_us */
    uint64_t counted_us;
    bool noticed, notice_arrived, said_goodbye, terminated;
    char error[ERROR_MAX];
};

static const char *const abuse_texts[] = {
#define ABUSE(id, key, init, max, what, help) what,
#include "codec/h2_abuse.def"
#undef ABUSE
    "",
};

const char *h2_abuse_text(enum h2_abuse abuse)
{
    return abuse_texts[abuse];
}

enum parse h2_is_preface(struct slice in)
{
    static const struct slice preface = SLICE_INIT(NGHTTP2_CLIENT_MAGIC);
    if (in.n >= preface.n)
        return slice_starts(in, preface) ? PARSE_DONE : PARSE_BAD;
    return slice_starts(preface, in) ? PARSE_MORE : PARSE_BAD;
}

/* ---- abuse ---- */

/* False: too many of them, and the session must end. */
static bool count(struct h2 *h, enum h2_abuse kind)
{
    if (h->now_us - h->counted_us > (uint64_t)H2_ABUSE_MS * 1000) {
        memset(h->counts, 0, sizeof(h->counts));
        h->counted_us = h->now_us;
    }
    if (++h->counts[kind] <= h->conf.abuse[kind])
        return true;
    if (h->abuse == H2_ABUSE_NONE)
        h->abuse = kind;
    return false;
}

/* What DATA goes out is answered with WINDOW_UPDATE: of the stream, and of the connection. */
static void excuse_updates(struct h2 *h)
{
    uint32_t *updates = &h->counts[H2_ABUSE_updates];
    *updates -= *updates < 2 ? *updates : 2;
}

static bool count_frame(struct h2 *h, const nghttp2_frame_hd *hd)
{
    bool is_ack = hd->flags & NGHTTP2_FLAG_ACK;
    switch (hd->type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_GOAWAY: return true;
    case NGHTTP2_RST_STREAM: return count(h, H2_ABUSE_resets);
    case NGHTTP2_PING: return is_ack || count(h, H2_ABUSE_pings);
    case NGHTTP2_SETTINGS: return is_ack || count(h, H2_ABUSE_settings);
    case NGHTTP2_WINDOW_UPDATE: return count(h, H2_ABUSE_updates);
    default: return count(h, H2_ABUSE_others);
    }
}

enum h2_abuse h2_abuse_found(const struct h2 *h)
{
    return h->abuse;
}

const char *h2_error_text(const struct h2 *h)
{
    return h->error[0] ? h->error : NULL;
}

/* ---- streams ---- */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void add_news(struct h2_stream *s, enum h2_news news)
{
    s->news |= news;
    if (!list_is_linked(&s->news_node))
        list_append(&s->session->news, &s->news_node);
}

static struct h2_stream *stream_new(struct h2 *h, int32_t id)
{
    struct h2_stream *s = mem_alloc(sizeof(*s));
    *s = (struct h2_stream){.session = h, .id = id, .begin_us = h->now_us};
    s->arena = &s->own;
    arena_init(&s->own, h->bufs);
    chain_init(&s->in, h->bufs, h->conf.window);
    list_init(&s->news_node);
    list_init(&s->node);
    list_append(&h->streams, &s->node);
    return s;
}

static void drop_in(struct h2_stream *s)
{
    s->session->held_bytes -= s->in.bytes;
    chain_clear(&s->in);
}

static void stream_free(struct h2_stream *s)
{
    if (s->session->reading == s)
        s->session->reading = NULL;
    drop_in(s);
    if (s->arena == &s->own)
        arena_fini(&s->own);
    list_remove(&s->news_node);
    list_remove(&s->node);
    free(s);
}

struct h2_stream *h2_next(struct h2 *h, unsigned *news)
{
    struct list *node = list_shift(&h->news);
    if (!node)
        return NULL;
    struct h2_stream *s = container_of(node, struct h2_stream, news_node);
    *news = s->news;
    s->news = 0;
    return s;
}

struct h2_stream *h2_stream_after(struct h2 *h, const struct h2_stream *s)
{
    for (struct list *node = s ? s->node.next : h->streams.next; node != &h->streams;
         node = node->next) {
        struct h2_stream *next = container_of(node, struct h2_stream, node);
        if (next->owner)
            return next;
    }
    return NULL;
}

struct h2_stream *h2_any(struct h2 *h)
{
    return h2_stream_after(h, NULL);
}

/* ---- what nghttp2 reports of bytes received ---- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
    struct h2 *h = ctx;
    (void)session;
    h->in_head = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION;
    return count_frame(h, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    bool is_request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    struct h2_stream *s =
        is_request ? stream_new(h, frame->hd.stream_id) : stream_of(session, frame->hd.stream_id);
    if (is_request)
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
    h->reading = s && !s->is_released ? s : NULL;
    if (!h->reading)
        return 0;
    h->section = (struct h2_section){
        .arena = s->arena,
        .limits = &h->conf.limits,
        .fields = is_request ? &s->head.fields : &s->trailers,
        .head = is_request ? &s->head : NULL,
    };
    return 0;
}

static struct slice slice_of_rcbuf(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(rcbuf);
    return slice_of(v.base, v.len);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    struct h2 *h = ctx;
    (void)session, (void)frame, (void)flags;
    if (h->reading)
        h2_section_add(&h->section, slice_of_rcbuf(name), slice_of_rcbuf(value));
    if (h->section.bytes <= h->conf.abuse[H2_ABUSE_head])
        return 0;
    h->abuse = H2_ABUSE_head;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* RFC 9113 8.1.1: a field that is not valid makes the request malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    (void)session, (void)frame, (void)name, (void)value, (void)flags, (void)ctx;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* Who does not say how it wants its responses gets them side by side (RFC 9218 2). */
static void set_priority(struct h2 *h, const struct h2_stream *s)
{
    static const nghttp2_extpri beside = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    if (!h->section.has_priority)
        nghttp2_session_change_extpri_stream_priority(h->session, s->id, &beside, 0);
}

static void end_request(struct h2 *h, struct h2_stream *s)
{
    unsigned char random[16] = {0};
    if (h->section.protocol.n)
        h->conf.random(random, sizeof(random));
    if (h2_section_end(&h->section, s->ended, random, &s->framing, &s->is_websocket) != PARSE_DONE)
        s->fault = h->section.fault;
    set_priority(h, s);
    add_news(s, H2_REQUEST);
}

static void end_section(struct h2 *h, const nghttp2_frame *frame)
{
    struct h2_stream *s = h->reading;
    h->in_head = false;
    h->reading = NULL;
    if (!s)
        return;
    s->ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        end_request(h, s);
    } else {
        s->fault = h->section.fault;
        add_news(s, H2_BODY);
    }
}

static bool end_data(struct h2 *h, const nghttp2_frame *frame)
{
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s = stream_of(h->session, frame->hd.stream_id);
    if (s && !s->is_released && is_end) {
        s->ended = true;
        add_news(s, H2_BODY);
    }
    return is_end || frame->hd.length > frame->data.padlen || count(h, H2_ABUSE_empties);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS: end_section(h, frame); return 0;
    case NGHTTP2_DATA: return end_data(h, frame) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_PING:
        h->notice_arrived |= h->noticed && (frame->hd.flags & NGHTTP2_FLAG_ACK);
        return 0;
    default: return 0;
    }
}

static int on_invalid_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, int error,
                                 void *ctx)
{
    struct h2 *h = ctx;
    (void)session, (void)frame, (void)error;
    h->in_head = false;
    return 0;
}

/* Small pieces are copied anyway; large ones are, when much waits that others may have sent only to
 * pin what they lie in. */
static void keep_data(struct h2 *h, struct h2_stream *s, struct slice data)
{
    h->held_bytes += data.n;
    if (h->hold && h->held_bytes <= REFER_MAX)
        chain_put(&s->in, h->hold, data);
    else
        chain_copy(&s->in, data);
}

static int on_data_chunk_recv(nghttp2_session *session, uint8_t flags, int32_t id,
                              const uint8_t *data, size_t n, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(session, id);
    (void)flags;
    nghttp2_session_consume_connection(session, n);
    if (!s || s->is_released)
        return 0;
    keep_data(h, s, slice_of(data, n));
    add_news(s, H2_BODY);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx)
{
    struct h2_stream *s = stream_of(session, id);
    (void)ctx;
    if (!s)
        return 0;
    s->closed = true;
    s->error = error;
    if (!s->owner) /* released, or its request was not taken yet */
        stream_free(s);
    else if (error || !s->passed)
        add_news(s, H2_GONE);
    return 0;
}

static int on_error(nghttp2_session *session, int error, const char *text, size_t n, void *ctx)
{
    struct h2 *h = ctx;
    (void)session, (void)error;
    if (!h->error[0])
        snprintf(h->error, sizeof(h->error), "%.*s", (int)n, text);
    return 0;
}

/* ---- what nghttp2 asks for, and reports of frames sent ---- */

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t n, nghttp2_data_source *source, void *ctx)
{
    enum { FRAME_HEAD = 9 };
    struct h2 *h = ctx;
    struct h2_stream *s = source->ptr;
    (void)session, (void)frame;
    chain_copy(h->out, slice_of(head, FRAME_HEAD));
    chain_move(h->out, s->body, n);
    s->sent_bytes += n;
    if (s != h->sending)
        add_news(s, H2_ROOM);
    return 0;
}

static size_t count_sent(const struct fields *fields)
{
    size_t n = 0;
    for (unsigned i = 0; i < fields->n; i++)
        n += !fields->v[i].dropped;
    return n;
}

static nghttp2_nv nv_of(struct slice name, struct slice value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .namelen = name.n,
                        .valuelen = value.n};
}

static nghttp2_nv *put_fields(nghttp2_nv *nv, const struct fields *fields)
{
    for (unsigned i = 0; i < fields->n; i++)
        if (!fields->v[i].dropped)
            *nv++ = nv_of(fields->v[i].name, fields->v[i].value);
    return nv;
}

static uint32_t put_end(struct h2_stream *s)
{
    size_t n = s->resp_trailers ? count_sent(s->resp_trailers) : 0;
    if (!n)
        return NGHTTP2_DATA_FLAG_EOF;
    nghttp2_nv *nv = arena_alloc(s->arena, n * sizeof(*nv));
    put_fields(nv, s->resp_trailers);
    nghttp2_submit_trailer(s->session->session, s->id, nv, n);
    return NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = source->ptr;
    (void)session, (void)id, (void)buf;
    if (s->is_released)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = s->body->bytes < max ? s->body->bytes : max;
    bool is_end = s->complete && n == s->body->bytes;
    if (!n && !is_end) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (!chain_room(h->out))
        return NGHTTP2_ERR_PAUSE;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | (is_end ? put_end(s) : 0);
    return (ssize_t)n;
}

/* RFC 9113 8.1.1 and others: whoever makes us reset streams does no less than reset them. */
static bool is_their_error(uint32_t error)
{
    return error != NGHTTP2_NO_ERROR && error != NGHTTP2_INTERNAL_ERROR &&
           error != NGHTTP2_CANCEL && error != NGHTTP2_REFUSED_STREAM;
}

static void end_response(struct h2 *h, int32_t id)
{
    struct h2_stream *s = stream_of(h->session, id);
    if (!s)
        return;
    s->passed = true;
    if (s->owner && s != h->sending)
        add_news(s, H2_ROOM);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    (void)session;
    if (frame->hd.type == NGHTTP2_DATA)
        excuse_updates(h);
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if (is_end)
            end_response(h, frame->hd.stream_id);
        return 0;
    case NGHTTP2_RST_STREAM:
        if (is_their_error(frame->rst_stream.error_code) && !count(h, H2_ABUSE_resets))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        return 0;
    case NGHTTP2_GOAWAY: h->terminated |= frame->goaway.error_code != NGHTTP2_NO_ERROR; return 0;
    default: return 0;
    }
}

/* A head that cannot be sent leaves nothing to be said on the stream. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *ctx)
{
    (void)ctx, (void)error;
    if (frame->hd.type == NGHTTP2_HEADERS && stream_of(session, frame->hd.stream_id))
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_INTERNAL_ERROR);
    return 0;
}

/* ---- session ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c))
        abort();
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
    return c;
}

static nghttp2_option *make_options(const struct h2_conf *conf)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o))
        abort();
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_send_header_block_length(o, SEND_BLOCK_MAX);
    nghttp2_option_set_max_outbound_ack(o, conf->abuse[H2_ABUSE_waiting]);
    nghttp2_option_set_max_continuations(o, conf->abuse[H2_ABUSE_continuations]);
    nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX, UINT64_MAX); /* we count */
    return o;
}

static void *hook_malloc(size_t n, void *ctx)
{
    (void)ctx;
    return mem_alloc(n);
}

static void hook_free(void *p, void *ctx)
{
    (void)ctx;
    free(p);
}

static void *hook_calloc(size_t count, size_t n, void *ctx)
{
    (void)ctx;
    return mem_zalloc(count * n);
}

static void *hook_realloc(void *p, size_t n, void *ctx)
{
    (void)ctx;
    return mem_grow(p, n, 1);
}

static void submit_settings(struct h2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->conf.streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->conf.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->conf.limits.head_bytes},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                            sizeof(settings) / sizeof(settings[0]));
    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)(h->conf.window * WINDOWS));
}

struct h2 *h2_new(const struct h2_conf *conf, struct buf_pool *bufs)
{
    static const nghttp2_mem mem = {NULL, hook_malloc, hook_free, hook_calloc, hook_realloc};
    struct h2 *h = mem_zalloc(sizeof(*h));
    h->conf = *conf;
    h->bufs = bufs;
    h->abuse = H2_ABUSE_NONE;
    list_init(&h->streams);
    list_init(&h->news);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *options = make_options(conf);
    nghttp2_mem own = mem;
    if (nghttp2_session_server_new3(&h->session, callbacks, h, options, &own))
        abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    submit_settings(h);
    return h;
}

void h2_free(struct h2 *h)
{
    list_each_safe (node, &h->streams)
        stream_free(container_of(node, struct h2_stream, node));
    nghttp2_session_del(h->session);
    free(h);
}

/* RFC 9113 5.4.1: says why, as far as the peer still listens. */
static void fail(struct h2 *h, int error)
{
    if (error == NGHTTP2_ERR_FLOODED)
        h->abuse = H2_ABUSE_waiting;
    else if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        h->abuse = H2_ABUSE_continuations;
    nghttp2_session_terminate_session(
        h->session, h->abuse != H2_ABUSE_NONE ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_INTERNAL_ERROR);
    h->is_over = true;
}

static void check_waiting(struct h2 *h)
{
    size_t waiting = nghttp2_session_get_outbound_queue_size(h->session);
    if (waiting <= h->conf.abuse[H2_ABUSE_waiting] || h->is_over)
        return;
    h->abuse = H2_ABUSE_waiting;
    fail(h, 0);
}

void h2_feed(struct h2 *h, struct slice in, struct buf *hold, uint64_t now_us)
{
    if (h->is_over)
        return;
    h->hold = hold;
    h->now_us = now_us;
    ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)in.p, in.n);
    h->hold = NULL;
    if (rc < 0)
        fail(h, (int)rc);
    check_waiting(h);
}

void h2_emit(struct h2 *h, struct chain *out, const struct h2_stream *for_stream)
{
    h->out = out;
    h->sending = for_stream;
    while (chain_room(out)) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        if (n < 0 && !h->is_over)
            fail(h, (int)n);
        else if (n <= 0)
            break;
        else
            chain_copy(out, slice_of(p, (size_t)n));
    }
    h->out = NULL;
    h->sending = NULL;
}

/* After the notice, the library wants no more as soon as there is no stream; the client may. */
bool h2_is_over(struct h2 *h)
{
    bool waits = h->noticed && !h->said_goodbye && !h->terminated;
    bool wants_read = !h->is_over && (waits || nghttp2_session_want_read(h->session));
    return !wants_read && !nghttp2_session_want_write(h->session);
}

void h2_give_up(struct h2 *h)
{
    if (!h->is_over)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    h->is_over = true;
}

bool h2_is_idle(const struct h2 *h)
{
    return h->streams.next == &h->streams;
}

bool h2_is_in_head(const struct h2 *h)
{
    return h->in_head;
}

void h2_notice(struct h2 *h)
{
    nghttp2_submit_shutdown_notice(h->session);
    nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    h->noticed = true;
}

bool h2_notice_arrived(const struct h2 *h)
{
    return h->notice_arrived;
}

void h2_goodbye(struct h2 *h)
{
    h->said_goodbye = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

/* ---- for the owners of streams ---- */

size_t h2_take(struct h2_stream *s, struct chain *dst, size_t max)
{
    size_t n = chain_move(dst, &s->in, max);
    s->session->held_bytes -= n;
    if (n && !s->closed && !s->ended)
        nghttp2_session_consume_stream(s->session->session, s->id, n);
    return n;
}

static struct slice status_text(uint16_t status, char digits[3])
{
    digits[0] = (char)('0' + status / 100);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    return slice_of(digits, 3);
}

/* Names and values are copied by nghttp2, names in lower case. */
static nghttp2_nv *head_nv(struct h2_stream *s, const struct response_head *head, char digits[3],
                           struct slice date, size_t *n)
{
    nghttp2_nv *nv = arena_alloc(s->arena, (head->fields.n + 2u) * sizeof(*nv)), *end = nv;
    *end++ = nv_of(SLICE(":status"), status_text(head->status, digits));
    end = put_fields(end, &head->fields);
    if (date.n)
        *end++ = nv_of(SLICE("date"), date);
    *n = (size_t)(end - nv);
    return nv;
}

void h2_put_interim(struct h2_stream *s, const struct response_head *head)
{
    char digits[3];
    size_t n;
    if (s->closed)
        return;
    nghttp2_nv *nv = head_nv(s, head, digits, SLICE_NONE, &n);
    nghttp2_submit_headers(s->session->session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL);
}

void h2_put_response(struct h2_stream *s, const struct response_head *head, struct slice date,
                     struct chain *body, bool has_body)
{
    char digits[3];
    size_t n;
    if (s->closed)
        return;
    nghttp2_nv *nv = head_nv(s, head, digits, date, &n);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    s->body = body;
    s->responded = true;
    nghttp2_submit_response(s->session->session, s->id, nv, n, has_body ? &provider : NULL);
}

void h2_resume(struct h2_stream *s)
{
    if (!s->deferred || s->closed)
        return;
    s->deferred = false;
    nghttp2_session_resume_data(s->session->session, s->id);
}

bool h2_is_held(const struct h2_stream *s)
{
    nghttp2_session *session = s->session->session;
    return nghttp2_session_get_stream_remote_window_size(session, s->id) <= 0 ||
           nghttp2_session_get_remote_window_size(session) <= 0;
}

static uint32_t release_code(const struct h2_stream *s, enum h2_end end)
{
    if (end == H2_DONE && s->passed)
        return NGHTTP2_NO_ERROR; /* RFC 9113 8.1: the rest of the request is not needed */
    return end == H2_CANCELLED ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
}

void h2_release(struct h2_stream *s, enum h2_end end)
{
    s->owner = NULL;
    s->body = NULL;
    s->is_released = true;
    if (s->closed) {
        stream_free(s);
        return;
    }
    if (s->session->reading == s)
        s->session->reading = NULL;
    s->arena = NULL;
    list_remove(&s->news_node);
    drop_in(s);
    if (!s->passed || !s->ended)
        nghttp2_submit_rst_stream(s->session->session, NGHTTP2_FLAG_NONE, s->id,
                                  release_code(s, end));
}
