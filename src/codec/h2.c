/* SPDX-License-Identifier: MIT */
#include "codec/h2.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/h2_internal.h"
#include "codec/h2_lib.h"

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

bool h2_count(struct h2 *h, enum h2_abuse kind)
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

enum h2_abuse h2_abuse_found(const struct h2 *h)
{
    return h->abuse;
}

const char *h2_error_text(const struct h2 *h)
{
    return h->error;
}

/* RFC 9113 5.4.1: says why, as far as the peer still listens. */
static void fail(struct h2 *h, int error)
{
    if (error == NGHTTP2_ERR_FLOODED)
        h->abuse = H2_ABUSE_waiting;
    else if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
        h->abuse = H2_ABUSE_continuations;
    uint32_t code = h->abuse != H2_ABUSE_NONE ? NGHTTP2_ENHANCE_YOUR_CALM
                    : h->failure              ? h->failure
                                              : NGHTTP2_INTERNAL_ERROR;
    nghttp2_session_terminate_session(h->session, code);
    h->is_over = true;
}

void h2_note_stall(struct h2 *h, uint64_t now_us)
{
    h->now_us = now_us;
    if (!h->is_over && !h2_count(h, H2_ABUSE_stalls))
        fail(h, 0);
}

/* ---- streams ---- */

void h2_note_reset(struct h2 *h, uint32_t id)
{
    if (!h->reset_ids)
        h->reset_ids = mem_zalloc(H2_RESETS_KEPT * sizeof(*h->reset_ids));
    uint32_t *place = &h->reset_ids[h->reset_at++ % H2_RESETS_KEPT];
    if (*place > h->forgotten_id)
        h->forgotten_id = *place;
    *place = id;
}

void h2_add_news(struct h2_stream *s, enum h2_news news)
{
    s->news |= news;
    if (!list_is_linked(&s->news_node))
        list_append(&s->session->news, &s->news_node);
}

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id)
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

void h2_stream_free(struct h2_stream *s)
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

/* ---- for the owners of streams ---- */

size_t h2_take(struct h2_stream *s, struct chain *dst, size_t max)
{
    size_t n = chain_move(dst, &s->in, max);
    s->session->held_bytes -= n;
    if (n && !s->closed && !s->ended)
        nghttp2_session_consume_stream(s->session->session, s->id, n);
    return n;
}

const char *h2_gone_text(const struct h2_stream *s)
{
    bool is_cancelled = s->error == NGHTTP2_NO_ERROR || s->error == NGHTTP2_CANCEL ||
                        s->error == NGHTTP2_INTERNAL_ERROR || s->error == NGHTTP2_REFUSED_STREAM;
    return is_cancelled ? "stream reset by the client" : "stream broken by an error of the client";
}

/* ---- the rests of requests that are answered ---- */

/* A reset at once, as RFC 9113 8.1 allows, would have clients lose the response that is in front of
 * it: curl drops it, as HTTP/1.1's do where a connection is reset. So what they still send of the
 * request is read away, until they have ended it or it has taken too long. */
static void begin_rest(struct h2_stream *s, uint64_t now_us)
{
    s->released_us = now_us;
    list_append(&s->session->rests, &s->news_node);
    nghttp2_session_consume_stream(s->session->session, s->id, s->in.bytes);
}

uint64_t h2_reset_rests(struct h2 *h, uint64_t before_us)
{
    for (struct list *node; (node = list_first(&h->rests));) {
        const struct h2_stream *s = container_of(node, struct h2_stream, news_node);
        if (s->released_us > before_us)
            return s->released_us;
        list_remove(node);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

bool h2_has_rests(const struct h2 *h)
{
    return !list_is_empty(&h->rests);
}

void h2_release(struct h2_stream *s, enum h2_end end, uint64_t now_us)
{
    s->owner = NULL;
    s->body = NULL;
    s->is_released = true;
    if (s->closed) {
        h2_stream_free(s);
        return;
    }
    if (s->session->reading == s)
        s->session->reading = NULL;
    s->arena = NULL;
    list_remove(&s->news_node);
    if (end != H2_DONE || !s->passed)
        nghttp2_submit_rst_stream(s->session->session, NGHTTP2_FLAG_NONE, s->id,
                                  end == H2_CANCELLED ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
    else if (!s->ended)
        begin_rest(s, now_us);
    drop_in(s);
}

/* ---- session ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c))
        abort();
    h2_set_receivers(c);
    h2_set_senders(c);
    return c;
}

static nghttp2_option *make_options(const struct h2_conf *conf)
{
    nghttp2_option *o = h2_options_new(conf->abuse[H2_ABUSE_waiting]);
    nghttp2_option_set_max_continuations(o, conf->abuse[H2_ABUSE_continuations]);
    nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX, UINT64_MAX); /* we count */
    return o;
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
                                          (int32_t)(h->conf.window * H2_WINDOWS));
}

struct h2 *h2_new(const struct h2_conf *conf, struct buf_pool *bufs)
{
    struct h2 *h = mem_zalloc(sizeof(*h));
    h->conf = *conf;
    h->bufs = bufs;
    h->abuse = H2_ABUSE_NONE;
    list_init(&h->streams);
    list_init(&h->news);
    list_init(&h->rests);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    nghttp2_option *options = make_options(conf);
    h->memory = (struct h2_memory){.bufs = bufs, .is_making = true};
    nghttp2_mem memory = h2_memory_of(&h->memory);
    if (nghttp2_session_server_new3(&h->session, callbacks, h, options, &memory))
        abort();
    h->memory.is_making = false;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    submit_settings(h);
    return h;
}

void h2_free(struct h2 *h)
{
    list_each_safe (node, &h->streams)
        h2_stream_free(container_of(node, struct h2_stream, node));
    nghttp2_session_del(h->session);
    free(h->reset_ids);
    free(h->error);
    free(h);
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
}

/* After the notice, the library wants no more as soon as there is no stream; the client may. */
bool h2_is_over(struct h2 *h)
{
    bool waits = h->noticed && !h->said_goodbye && !h->terminated;
    bool wants_read = !h->is_over && (waits || nghttp2_session_want_read(h->session));
    bool reads = h->abuse != H2_ABUSE_waiting;
    return !wants_read && !(reads && nghttp2_session_want_write(h->session));
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
    h->noticed = true;
    nghttp2_submit_shutdown_notice(h->session); /* a PING follows when it is out */
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

/* What finds no room in out, for a peer that does not read, must not become more and more. */
static void check_waiting(struct h2 *h)
{
    size_t waiting = nghttp2_session_get_outbound_queue_size(h->session);
    if (waiting <= h->conf.abuse[H2_ABUSE_waiting] || h->is_over)
        return;
    h->abuse = H2_ABUSE_waiting;
    fail(h, 0);
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
    if (!chain_room(out))
        check_waiting(h);
}
