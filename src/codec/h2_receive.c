/* What a peer sends: the callbacks of the library for what it has read.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/mem.h"
#include "codec/h2_internal.h"
#include "codec/h2_lib.h"

static char *error_of(struct h2 *h)
{
    if (!h->error)
        h->error = mem_zalloc(H2_ERROR_MAX);
    return h->error;
}

static bool break_rule(struct h2 *h, uint32_t code, const char *what)
{
    h->failure = code;
    snprintf(error_of(h), H2_ERROR_MAX, "%s", what);
    return false;
}

/* Whether the peer may not know yet that the stream is closed, or that it never was. */
static bool may_not_know(const struct h2 *h, uint32_t id)
{
    if (id > (uint32_t)nghttp2_session_get_last_proc_stream_id(h->session))
        return true; /* refused, or behind our GOAWAY (6.8) */
    for (size_t i = 0; h->reset_ids && i < H2_RESETS_KEPT; i++)
        if (h->reset_ids[i] == id)
            return true;
    return id <= h->forgotten_id;
}

/* RFC 9113 5.1: what the library has forgotten and we did not reset, the peer knows to be closed.
 */
static bool check_closed(struct h2 *h, uint32_t id)
{
    return nghttp2_session_find_stream(h->session, (int32_t)id) || may_not_know(h, id) ||
           break_rule(h, NGHTTP2_STREAM_CLOSED, "HEADERS: the stream is closed");
}

/* RFC 9113 5.1.1: streams begin in order. The library takes those that were left out for closed. */
static bool check_order(struct h2 *h, uint32_t id)
{
    if (id > h->last_id) {
        uint32_t shift = (id - h->last_id) / 2;
        h->opened = (shift < 64 ? h->opened << shift : 0) | 1;
        h->last_id = id;
        return true;
    }
    uint32_t before = (h->last_id - id) / 2;
    if (before < 64 && !(h->opened >> before & 1))
        return break_rule(h, NGHTTP2_PROTOCOL_ERROR,
                          "HEADERS: a stream was begun after a later one");
    return id % 2 == 0 || check_closed(h, id);
}

/* RFC 9113 6.3: deprecated, but not to be taken in any form; the library ignores them all. */
static bool check_priority(struct h2 *h, const nghttp2_frame_hd *hd)
{
    if (hd->length != 5)
        return break_rule(h, NGHTTP2_FRAME_SIZE_ERROR, "PRIORITY: wrong length");
    return hd->stream_id || break_rule(h, NGHTTP2_PROTOCOL_ERROR, "PRIORITY: on the connection");
}

/* Whoever has had all of its response costs us nothing by it. */
static bool count_reset(struct h2 *h, int32_t id)
{
    const struct h2_stream *s = h2_stream_of(h->session, id);
    return (s && h2_is_rest(s)) || h2_count(h, H2_ABUSE_resets);
}

static bool count_frame(struct h2 *h, const nghttp2_frame_hd *hd)
{
    bool is_ack = hd->flags & NGHTTP2_FLAG_ACK;
    switch (hd->type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
    case NGHTTP2_GOAWAY: return true;
    case NGHTTP2_RST_STREAM: return count_reset(h, hd->stream_id);
    case NGHTTP2_PING: return is_ack || h2_count(h, H2_ABUSE_pings);
    case NGHTTP2_SETTINGS: return is_ack || h2_count(h, H2_ABUSE_settings);
    case NGHTTP2_WINDOW_UPDATE: return h2_count(h, H2_ABUSE_updates);
    case NGHTTP2_PRIORITY: return h2_count(h, H2_ABUSE_priorities);
    default: return true;
    }
}

static bool check_frame(struct h2 *h, const nghttp2_frame_hd *hd)
{
    if (hd->type == NGHTTP2_HEADERS)
        return check_order(h, (uint32_t)hd->stream_id);
    return hd->type != NGHTTP2_PRIORITY || check_priority(h, hd);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
    struct h2 *h = ctx;
    (void)session;
    h->in_head = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION;
    return count_frame(h, hd) && check_frame(h, hd) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    bool is_request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    struct h2_stream *s = is_request ? h2_stream_new(h, frame->hd.stream_id)
                                     : h2_stream_of(session, frame->hd.stream_id);
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
        .is_trailers = !is_request,
    };
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    struct h2 *h = ctx;
    (void)session, (void)frame, (void)flags;
    if (h->reading)
        h2_section_add(&h->section, h2_slice(name), h2_slice(value));
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
    h2_add_news(s, H2_REQUEST);
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
        h2_add_news(s, H2_BODY);
    }
}

static bool end_data(struct h2 *h, const nghttp2_frame *frame)
{
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s = h2_stream_of(h->session, frame->hd.stream_id);
    if (s && !s->is_released && is_end) {
        s->ended = true;
        h2_add_news(s, H2_BODY);
    }
    return is_end || frame->hd.length > frame->data.padlen || h2_count(h, H2_ABUSE_empties);
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
    (void)session, (void)error;
    h->in_head = false;
    h2_note_reset(h, (uint32_t)frame->hd.stream_id); /* which the library is about to do */
    return 0;
}

static int on_data_chunk_recv(nghttp2_session *session, uint8_t flags, int32_t id,
                              const uint8_t *data, size_t n, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = h2_stream_of(session, id);
    (void)flags;
    nghttp2_session_consume_connection(session, n);
    if (s && h2_is_rest(s))
        nghttp2_session_consume_stream(session, id, n);
    if (!s || s->is_released)
        return 0;
    h2_keep_data(&s->in, h->hold, &h->held_bytes, slice_of(data, n));
    h2_add_news(s, H2_BODY);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx)
{
    struct h2_stream *s = h2_stream_of(session, id);
    (void)ctx;
    if (!s)
        return 0;
    s->closed = true;
    s->error = error;
    if (!s->owner) /* released, or its request was not taken yet */
        h2_stream_free(s);
    else if (error || !s->passed)
        h2_add_news(s, H2_GONE);
    return 0;
}

static int on_error(nghttp2_session *session, int error, const char *text, size_t n, void *ctx)
{
    struct h2 *h = ctx;
    (void)session, (void)error;
    h2_keep_error(error_of(h), text, n);
    return 0;
}

void h2_set_receivers(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(c, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(c, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(c, on_error);
}
