/* HTTP/2 towards backends (RFC 9113), over nghttp2: the rows of codecs.def. A connection has a lane
 * for each request: its stream.
 *
 * A response's body is held in its lane up to the window, which the backend is told, and opened
 * again as it is decoded; a request's body leaves its lane as the backend's windows allow. Streams
 * that a GOAWAY leaves out, and refused ones, were not executed (RFC 9113 6.8, 8.7).
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "codec/codec.h"
#include "codec/h2_head.h"
#include "codec/h2_lib.h"
#include "http/status.h"

enum {
    QUEUE_MAX = 200000, /* frames of any kind, for two of each stream */
};

struct back {
    nghttp2_session *session;
    struct buf_pool *bufs;
    struct mux_conf conf;
    struct list lanes, news;
    struct h2_section section;   /* the one under way */
    struct stream_lane *reading; /* whose it is; NULL: nobody wants it */
    struct chain *out;           /* during emit */
    struct buf *hold;            /* during feed */
    size_t held_bytes;           /* in all lanes */
    bool is_broken;
    char error[H2_ERROR_MAX];
};

/* A head that has come and was not asked for yet. */
struct reply {
    struct reply *next;
    struct response_head head;
    struct framing framing;
};

/* Of one request. */
struct stream_lane {
    struct back *back;
    struct mux_lane *lane;
    struct list node;
    int32_t id; /* 0: not begun */
    enum method method;
    struct reply *replies, **replies_end;
    struct reply *next; /* the section under way is of */
    uint32_t interims;
    bool has_head; /* the final one has come */
    bool ended;    /* the response is complete */
    bool closed;   /* no frame comes on it any more; error: why */
    bool complete; /* nothing will be added to the request any more */
    bool deferred; /* waits for more of the request */
    uint32_t error;
    struct fault fault; /* status not 0: the response is malformed */
    struct fields trailers;
    const struct fields *req_trailers;
};

static struct stream_lane *lane_of(const struct back *b, int32_t id)
{
    return nghttp2_session_get_stream_user_data(b->session, id);
}

static void add_news(struct stream_lane *s)
{
    if (!list_is_linked(&s->lane->news_node))
        list_append(&s->back->news, &s->lane->news_node);
}

static void close_lane(struct stream_lane *s, uint32_t error)
{
    s->closed = true;
    s->error = error;
    add_news(s);
}

static void set_fault(struct stream_lane *s, const char *what, const char *rule)
{
    if (!s->fault.status)
        s->fault = (struct fault){.status = 502, .what = what, .rule = rule};
    add_news(s);
}

/* ---- receiving ---- */

static struct reply *new_reply(struct stream_lane *s)
{
    struct reply *r = arena_zalloc(s->lane->arena, sizeof(*r));
    r->head.minor = 1;
    r->head.is_h2 = true;
    return r;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s = lane_of(b, frame->hd.stream_id);
    (void)session;
    b->reading = s;
    b->section = (struct h2_section){.bytes = 0};
    if (!s)
        return 0;
    s->next = s->has_head ? NULL : new_reply(s);
    b->section.arena = s->lane->arena;
    b->section.limits = s->lane->limits;
    b->section.fields = s->next ? &s->next->head.fields : &s->trailers;
    b->section.is_trailers = s->has_head;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    struct back *b = ctx;
    (void)session, (void)frame, (void)flags;
    if (b->reading)
        h2_section_add(&b->section, h2_slice(name), h2_slice(value));
    if (b->section.bytes <= b->conf.unpacked_bytes)
        return 0;
    snprintf(b->error, sizeof(b->error), "field section unpacks to too much");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* RFC 9113 8.1.1: a field that is not valid makes the response malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    struct back *b = ctx;
    (void)session, (void)frame, (void)name, (void)value, (void)flags;
    if (b->reading)
        set_fault(b->reading, "field is not valid", "RFC 9113 8.2.1");
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* What a stream's end says by itself need not be said by fields. */
static bool set_framing(struct stream_lane *s, struct reply *r, bool is_end)
{
    if (framing_of_response(&r->head, s->method, &r->framing, &s->fault) != PARSE_DONE)
        return false;
    if (r->framing.kind == BODY_CLOSE || r->framing.kind == BODY_CHUNKED)
        r->framing = is_end ? (struct framing){.kind = BODY_LENGTH, .length = 0}
                            : (struct framing){.kind = BODY_CHUNKED};
    return true;
}

static uint16_t status_of(struct slice text)
{
    uint16_t status = 0;
    for (size_t i = 0; i < text.n && i < 3; i++)
        status = (uint16_t)(status * 10 + (text.p[i] - '0'));
    return text.n == 3 ? status : 0;
}

static void end_head(struct stream_lane *s, struct reply *r, bool is_end)
{
    r->head.status = status_of(s->back->section.status);
    r->head.reason = slice_str(status_reason(r->head.status));
    bool is_interim = r->head.status / 100 == 1;
    if (r->head.status < 100 || r->head.status > 599) {
        set_fault(s, "invalid status", "RFC 9110 15");
    } else if (r->head.status == 101) {
        set_fault(s, "101 over HTTP/2", "RFC 9113 8.6");
    } else if (is_interim && ++s->interims > INTERIMS_MAX) {
        set_fault(s, "too many interim responses", "RFC 9110 15.2");
    } else if (set_framing(s, r, is_end)) {
        s->has_head = !is_interim;
        *s->replies_end = r;
        s->replies_end = &r->next;
    }
}

static void end_section(struct back *b, const nghttp2_frame *frame)
{
    struct stream_lane *s = b->reading;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    b->reading = NULL;
    if (!s)
        return;
    if (b->section.fault.status)
        set_fault(s, b->section.fault.what, b->section.fault.rule);
    else if (s->next)
        end_head(s, s->next, is_end);
    s->ended |= is_end;
    add_news(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s;
    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        end_section(b, frame);
    } else if (frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
               (s = lane_of(b, frame->hd.stream_id))) {
        s->ended = true;
        add_news(s);
    }
    return 0;
}

static int on_invalid_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, int error,
                                 void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s = lane_of(b, frame->hd.stream_id);
    (void)session;
    if (s)
        set_fault(s, nghttp2_strerror(error), "RFC 9113 8.1.1");
    return 0;
}

static int on_data_chunk_recv(nghttp2_session *session, uint8_t flags, int32_t id,
                              const uint8_t *data, size_t n, void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s = lane_of(b, id);
    (void)flags;
    nghttp2_session_consume_connection(session, n);
    if (!s)
        return 0;
    h2_keep_data(&s->lane->in, b->hold, &b->held_bytes, slice_of(data, n));
    add_news(s);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx)
{
    struct stream_lane *s = lane_of(ctx, id);
    (void)session;
    if (s)
        close_lane(s, error);
    return 0;
}

static int on_error(nghttp2_session *session, int error, const char *text, size_t n, void *ctx)
{
    struct back *b = ctx;
    (void)session, (void)error;
    h2_keep_error(b->error, text, n);
    return 0;
}

/* ---- sending ---- */

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t n, nghttp2_data_source *source, void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s = lane_of(b, frame->hd.stream_id);
    (void)session, (void)source;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    chain_copy(b->out, slice_of(head, H2_FRAME_HEAD));
    chain_move(b->out, &s->lane->out, n);
    s->lane->sent_bytes += n;
    add_news(s);
    return 0;
}

static uint32_t put_last(struct stream_lane *s)
{
    return h2_put_trailers(s->back->session, s->id, s->req_trailers, FIELD_HOP, s->lane->arena);
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct back *b = ctx;
    struct stream_lane *s = lane_of(b, id);
    (void)session, (void)buf, (void)source;
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t waiting = s->lane->out.bytes, n = waiting < max ? waiting : max;
    bool is_end = s->complete && n == waiting;
    if (!n && !is_end) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (!chain_room(b->out))
        return NGHTTP2_ERR_PAUSE;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | (is_end ? put_last(s) : 0);
    return (ssize_t)n;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct stream_lane *s = NULL;
    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS)
        s = lane_of(ctx, frame->hd.stream_id);
    if (s)
        s->lane->is_begun = true;
    return 0;
}

/* A request that cannot be begun any more, for the backend takes no other. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *ctx)
{
    struct back *b = ctx;
    (void)session, (void)error;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    list_each (node, &b->lanes) {
        struct stream_lane *s = container_of(node, struct stream_lane, node);
        if (s->id != frame->hd.stream_id || s->closed)
            continue;
        if (b->error[0])
            set_fault(s, b->error, "RFC 9113 5.4.1");
        close_lane(s, s->lane->is_begun ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_REFUSED_STREAM);
    }
    return 0;
}

/* ---- the connection ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c))
        abort();
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

static void submit_settings(struct back *b)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, b->conf.window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, b->conf.head_bytes},
    };
    nghttp2_submit_settings(b->session, NGHTTP2_FLAG_NONE, settings,
                            sizeof(settings) / sizeof(settings[0]));
    nghttp2_session_set_local_window_size(b->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)(b->conf.window * H2_WINDOWS));
}

static void mux_open(void *state, const struct mux_conf *conf, struct buf_pool *bufs)
{
    struct back *b = state;
    b->conf = *conf;
    b->bufs = bufs;
    list_init(&b->lanes);
    list_init(&b->news);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *options = h2_options_new(conf->waiting);
    nghttp2_mem mem = h2_mem;
    if (nghttp2_session_client_new3(&b->session, callbacks, b, options, &mem))
        abort();
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    submit_settings(b);
}

static void mux_close(void *state)
{
    struct back *b = state;
    nghttp2_session_del(b->session);
}

static void mux_join(void *state, struct mux_lane *lane)
{
    struct stream_lane *s = lane->state;
    *s = (struct stream_lane){.back = state, .lane = lane};
    s->replies_end = &s->replies;
    list_init(&s->node);
    list_append(&s->back->lanes, &s->node);
}

static void mux_leave(void *state, struct mux_lane *lane)
{
    struct back *b = state;
    struct stream_lane *s = lane->state;
    list_remove(&s->node);
    b->held_bytes -= lane->in.bytes < b->held_bytes ? lane->in.bytes : b->held_bytes;
    if (b->reading == s)
        b->reading = NULL;
    if (!s->id || s->closed)
        return;
    nghttp2_session_set_stream_user_data(b->session, s->id, NULL);
    nghttp2_submit_rst_stream(b->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
}

static void fail(struct back *b, ssize_t error)
{
    b->is_broken = true;
    if (!b->error[0])
        snprintf(b->error, sizeof(b->error), "%s", nghttp2_strerror((int)error));
}

static void mux_feed(void *state, struct slice *in, struct buf *hold)
{
    struct back *b = state;
    b->hold = hold;
    ssize_t n = nghttp2_session_mem_recv(b->session, (const uint8_t *)in->p, in->n);
    b->hold = NULL;
    *in = SLICE_NONE;
    if (n < 0)
        fail(b, n);
}

static struct mux_lane *mux_next(void *state)
{
    struct back *b = state;
    struct list *node = list_shift(&b->news);
    return node ? container_of(node, struct mux_lane, news_node) : NULL;
}

static void mux_emit(void *state, struct chain *out)
{
    struct back *b = state;
    b->out = out;
    while (chain_room(out)) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(b->session, &p);
        if (n < 0)
            fail(b, n);
        if (n <= 0)
            break;
        chain_copy(out, slice_of(p, (size_t)n));
    }
    b->out = NULL;
    if (!chain_room(out) && nghttp2_session_get_outbound_queue_size(b->session) > QUEUE_MAX)
        fail(b, NGHTTP2_ERR_FLOODED);
}

static uint32_t mux_lanes(const void *state)
{
    const struct back *b = state;
    if (b->is_broken || !nghttp2_session_check_request_allowed(b->session))
        return 0;
    return nghttp2_session_get_remote_settings(b->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

static bool mux_is_over(const void *state)
{
    const struct back *b = state;
    return b->is_broken ||
           (!nghttp2_session_want_read(b->session) && !nghttp2_session_want_write(b->session));
}

static const char *mux_error(const void *state)
{
    const struct back *b = state;
    return b->error[0] ? b->error : NULL;
}

static void mux_ping(void *state)
{
    struct back *b = state;
    nghttp2_submit_ping(b->session, NGHTTP2_FLAG_NONE, NULL);
}

/* RFC 9113 6.8: before a connection is closed. */
static void mux_goodbye(void *state)
{
    struct back *b = state;
    if (!b->is_broken)
        nghttp2_session_terminate_session(b->session, NGHTTP2_NO_ERROR);
}

static const struct mux mux = {
    .state_bytes = sizeof(struct back),
    .has_windows = true,
    .open = mux_open,
    .close = mux_close,
    .join = mux_join,
    .leave = mux_leave,
    .feed = mux_feed,
    .next = mux_next,
    .emit = mux_emit,
    .lanes = mux_lanes,
    .is_over = mux_is_over,
    .error = mux_error,
    .ping = mux_ping,
    .goodbye = mux_goodbye,
};

/* ---- the lane ---- */

enum { OWN_FIELDS = 5 };

/* RFC 9113 8.3.1, 8.2.2: what the connection is about is left out, and Host is :authority. */
static nghttp2_nv *put_head(const struct stream_lane *s, const struct codec_request *request,
                            nghttp2_nv *nv)
{
    *nv++ = h2_nv(SLICE(":method"), request->head->method_text);
    *nv++ = h2_nv(SLICE(":scheme"), s->back->conf.is_secure ? SLICE("https") : SLICE("http"));
    if (request->host.n)
        *nv++ = h2_nv(SLICE(":authority"), request->host);
    *nv++ = h2_nv(SLICE(":path"), request->target);
    nv = h2_put_fields(nv, &request->head->fields, FIELD_HOP);
    if (request->takes_trailers)
        *nv++ = h2_nv(SLICE("te"), SLICE("trailers"));
    return nv;
}

static void back_begin(void *state, const struct codec_request *request, struct chain *out)
{
    struct stream_lane *s = state;
    (void)out;
    size_t n = h2_count_fields(&request->head->fields, FIELD_HOP) + OWN_FIELDS;
    nghttp2_nv *nv = arena_alloc(s->lane->arena, n * sizeof(*nv));
    nghttp2_nv *end = put_head(s, request, nv);
    bool is_whole = request->framing.kind == BODY_NONE ||
                    (request->framing.kind == BODY_LENGTH && request->framing.length == 0);
    nghttp2_data_provider provider = {.source.ptr = NULL, .read_callback = read_body};
    s->method = request->head->method;
    s->complete = is_whole;
    s->id = nghttp2_submit_request(s->back->session, NULL, nv, (size_t)(end - nv),
                                   is_whole ? NULL : &provider, s);
    if (s->id > 0)
        return;
    s->id = 0; /* numbers are used up: another connection has some */
    close_lane(s, NGHTTP2_REFUSED_STREAM);
}

static void resume(struct stream_lane *s)
{
    if (s->deferred && !s->closed)
        nghttp2_session_resume_data(s->back->session, s->id);
    s->deferred = false;
}

static void back_put_body(void *state, struct chain *body, struct chain *out)
{
    struct stream_lane *s = state;
    chain_move(out, body, SIZE_MAX);
    if (s->closed)
        chain_clear(out);
    resume(s);
}

static void back_put_end(void *state, const struct fields *trailers, struct chain *out)
{
    struct stream_lane *s = state;
    (void)out;
    s->req_trailers = trailers;
    s->complete = true;
    resume(s);
}

static enum codec_event bad(struct codec_result *result, const char *what, const char *rule)
{
    result->fault = (struct fault){.status = 502, .what = what, .rule = rule};
    return CODEC_BAD;
}

static enum codec_event take_reply(struct stream_lane *s, struct codec_result *result)
{
    struct reply *r = s->replies;
    s->replies = r->next;
    if (!s->replies)
        s->replies_end = &s->replies;
    *result->response = r->head;
    result->framing = r->framing;
    return CODEC_HEAD;
}

static enum codec_event take_data(struct stream_lane *s, struct slice *in,
                                  struct codec_result *result)
{
    struct back *b = s->back;
    result->data = *in;
    *in = slice_skip(*in, in->n);
    b->held_bytes -= result->data.n < b->held_bytes ? result->data.n : b->held_bytes;
    if (!s->closed && !s->ended)
        nghttp2_session_consume_stream(b->session, s->id, result->data.n);
    return CODEC_DATA;
}

static enum codec_event reset(const struct stream_lane *s, struct codec_result *result)
{
    if (s->error == NGHTTP2_REFUSED_STREAM && !s->has_head) {
        result->fault = (struct fault){
            .status = 503, .what = "stream refused by the backend", .rule = "RFC 9113 8.7"};
        return CODEC_REFUSED;
    }
    return bad(result,
               arena_printf(s->lane->arena, "stream reset by the backend (%s)",
                            nghttp2_http2_strerror(s->error))
                   .p,
               "RFC 9113 6.4");
}

static enum codec_event back_feed(void *state, struct slice *in, const struct head_limits *limits,
                                  struct arena *a, struct codec_result *result)
{
    struct stream_lane *s = state;
    (void)limits, (void)a;
    if (s->replies)
        return take_reply(s, result);
    if (in->n && s->has_head)
        return take_data(s, in, result);
    if (s->fault.status) {
        result->fault = s->fault;
        return CODEC_BAD;
    }
    if (s->ended && s->has_head) {
        result->trailers = s->trailers;
        return CODEC_END;
    }
    return s->closed ? reset(s, result) : CODEC_MORE;
}

static enum codec_event back_eof(void *state, struct codec_result *result)
{
    (void)state;
    return bad(result, "connection closed in the middle of a response", "RFC 9113 5.4");
}

static uint64_t back_plain_left(const void *state)
{
    (void)state;
    return 0; /* everything is in frames */
}

static void back_plain_taken(void *state, uint64_t n)
{
    (void)state, (void)n;
}

static bool back_is_plain_out(const void *state)
{
    (void)state;
    return false;
}

static bool back_is_reusable(const void *state)
{
    (void)state;
    return true; /* the connection is; the stream is over */
}

const struct back_codec h2c_back_codec = {
    .name = "h2c",
    .default_port = 80,
    .name_over_tls = "h2",
    .port_over_tls = 443,
    .alpn = "h2",
    .state_bytes = sizeof(struct stream_lane),
    .begin = back_begin,
    .put_body = back_put_body,
    .put_end = back_put_end,
    .feed = back_feed,
    .eof = back_eof,
    .plain_left = back_plain_left,
    .plain_taken = back_plain_taken,
    .is_plain_out = back_is_plain_out,
    .is_reusable = back_is_reusable,
    .mux = &mux,
};
