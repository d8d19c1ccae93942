/* What goes to a peer: responses, and the callbacks of the library for frames it is to write.
 * SPDX-License-Identifier: MIT */
#include "codec/h2_internal.h"
#include "codec/h2_lib.h"

/* ---- what the library asks for ---- */

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t n, nghttp2_data_source *source, void *ctx)
{
    struct h2 *h = ctx;
    struct h2_stream *s = source->ptr;
    (void)session, (void)frame;
    chain_copy(h->out, slice_of(head, H2_FRAME_HEAD));
    chain_move(h->out, s->body, n);
    s->sent_bytes += n;
    if (s != h->sending)
        h2_add_news(s, H2_ROOM);
    return 0;
}

static uint32_t put_end(struct h2_stream *s)
{
    return h2_put_trailers(s->session->session, s->id, s->resp_trailers, 0, s->arena);
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

/* What DATA goes out is answered with WINDOW_UPDATE: of the stream, and of the connection. */
static void excuse_updates(struct h2 *h)
{
    uint32_t *updates = &h->counts[H2_ABUSE_updates];
    *updates -= *updates < 2 ? *updates : 2;
}

/* RFC 9113 8.1.1 and others: whoever makes us reset streams does no less than reset them. */
static bool is_their_error(uint32_t error)
{
    return error != NGHTTP2_NO_ERROR && error != NGHTTP2_INTERNAL_ERROR &&
           error != NGHTTP2_CANCEL && error != NGHTTP2_REFUSED_STREAM;
}

static void end_response(struct h2 *h, int32_t id)
{
    struct h2_stream *s = h2_stream_of(h->session, id);
    if (!s)
        return;
    s->passed = true;
    if (s->owner && s != h->sending)
        h2_add_news(s, H2_ROOM);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct h2 *h = ctx;
    bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_DATA)
        excuse_updates(h);
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
        if (is_end)
            end_response(h, frame->hd.stream_id);
        return 0;
    case NGHTTP2_RST_STREAM:
        h2_note_reset(h, (uint32_t)frame->hd.stream_id);
        if (is_their_error(frame->rst_stream.error_code) && !h2_count(h, H2_ABUSE_resets))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        return 0;
    case NGHTTP2_GOAWAY:
        h->terminated |= frame->goaway.error_code != NGHTTP2_NO_ERROR;
        if (h->noticed && !h->said_goodbye)
            nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, NULL);
        return 0;
    default: return 0;
    }
}

/* A head that cannot be sent leaves nothing to be said on the stream. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *ctx)
{
    (void)ctx, (void)error;
    if (frame->hd.type == NGHTTP2_HEADERS && h2_stream_of(session, frame->hd.stream_id))
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                  NGHTTP2_INTERNAL_ERROR);
    return 0;
}

void h2_set_senders(nghttp2_session_callbacks *c)
{
    nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
}

/* ---- responses ---- */

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
    *end++ = h2_nv(SLICE(":status"), status_text(head->status, digits));
    end = h2_put_fields(end, &head->fields, 0);
    if (date.n)
        *end++ = h2_nv(SLICE("date"), date);
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
