/* SPDX-License-Identifier: MIT */
#include "core/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "codec/fcgi.h"
#include "codec/proxy_head.h"
#include "net/tls.h"
#include "pool/conn.h"
#include "pool/members.h"

enum { BODY_MAX = 64 * 1024, SLOT_AGAIN_MS = 50, OUT_WINDOW = 16 * 1024 };

static const struct head_limits limits = {
    .head_bytes = 64 * 1024, .target_bytes = 16 * 1024, .fields = 256};

/*  WAITING     for its time
 *  CONNECTING  for the connection
 *  ASKING      for the answer */
enum probe_state { WAITING, CONNECTING, ASKING };

struct probe {
    struct list node;
    struct probes *all;
    struct backend *backend; /* a reference */
    enum probe_state state;
    struct timer timer; /* the next probe, or how long this one may take */
    bool is_decided;    /* the first answer decides at once */
    uint32_t good, bad; /* in a row */
    struct stream stream;
    struct chain out;
    struct arena arena;
    struct response_head head;
    bool has_head;
    char *body; /* what has come of it, if it is looked at */
    uint32_t body_n;
    struct mux_lane lane; /* the only one of the connection, of a protocol that shares them */
    void *lane_state;     /* the codec's: behind what the connection has of codec_state */
    char lead[PROXY_PUT_MAX];
    _Alignas(16) char codec_state[];
};

struct probes {
    struct loop *loop;
    struct pool *pool;
    const struct back_codec *codec;
    struct list list;
    struct list freed; /* probes whose backend has left; freed at the end of the turn */
    struct deferred free;
    bool is_over; /* and so are we */
    uint64_t random;
};

static const struct health_conf *conf_of(const struct probe *p)
{
    return &p->all->pool->conf->health;
}

/* ---- when ---- */

uint64_t probe_jitter(uint64_t *random, uint64_t ms)
{
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return ms - ms / 10 + (*random >> 33) % (ms / 10 * 2 + 1);
}

/* More often as long as the answer is not clear. */
static bool is_settled(const struct probe *p)
{
    return p->bad == 0 && p->good >= conf_of(p)->rise && !pool_is_down(p->all->pool, p->backend);
}

static void wait_for_next(struct probe *p)
{
    const struct health_conf *conf = conf_of(p);
    uint32_t ms =
        is_settled(p) || conf->fast_ms > conf->interval_ms ? conf->interval_ms : conf->fast_ms;
    p->state = WAITING;
    timer_set(p->all->loop, &p->timer, probe_jitter(&p->all->random, ms));
}

/* ---- protocols that share connections: here one has a single lane ---- */

enum { STATE_ALIGN = 16 };

static const struct mux *mux_of(const struct back_codec *codec)
{
    return codec->mux && !codec->mux->is_optional ? codec->mux : NULL;
}

static size_t conn_bytes(const struct back_codec *codec)
{
    size_t n = mux_of(codec) ? mux_of(codec)->state_bytes : 0;
    return (n + STATE_ALIGN - 1) / STATE_ALIGN * STATE_ALIGN;
}

static size_t state_bytes(const struct back_codec *codec)
{
    return conn_bytes(codec) + codec->state_bytes;
}

static void open_lane(struct probe *p)
{
    const struct pool_conf *pool = p->all->pool->conf;
    const struct mux_conf conf = {.window = BODY_MAX,
                                  .head_bytes = 64 * 1024,
                                  .unpacked_bytes = pool->h2_head_bytes,
                                  .waiting = pool->h2_waiting,
                                  .is_secure = pool->tls.is_on};
    const struct mux *mux = mux_of(p->all->codec);
    struct buf_pool *bufs = &p->all->loop->bufs;
    if (!mux)
        return;
    p->lane = (struct mux_lane){.arena = &p->arena, .limits = &limits, .state = p->lane_state};
    chain_init(&p->lane.in, bufs, BODY_MAX);
    chain_init(&p->lane.out, bufs, OUT_WINDOW);
    list_init(&p->lane.news_node);
    mux->open(p->codec_state, &conf, bufs);
    mux->join(p->codec_state, &p->lane);
}

static void close_lane(struct probe *p)
{
    const struct mux *mux = mux_of(p->all->codec);
    if (!mux || !p->lane.state)
        return;
    mux->leave(p->codec_state, &p->lane);
    mux->close(p->codec_state);
    chain_clear(&p->lane.in);
    chain_clear(&p->lane.out);
    list_remove(&p->lane.news_node);
    p->lane.state = NULL;
}

static void emit(struct probe *p)
{
    if (p->lane.state)
        p->all->codec->mux->emit(p->codec_state, &p->out);
}

/* What the codec is to decode: what came on the connection, or what of it is the lane's. */
static struct slice next_bytes(struct probe *p)
{
    const struct mux *mux = mux_of(p->all->codec);
    struct slice in = stream_bytes(&p->stream);
    if (!mux)
        return in;
    size_t before = in.n;
    if (before)
        mux->feed(p->codec_state, &in, p->stream.in);
    stream_consume(&p->stream, before - in.n);
    const struct link *first = p->lane.in.head;
    return first ? slice_of(first->p, first->n) : SLICE_NONE;
}

static void consume(struct probe *p, size_t n)
{
    if (p->lane.state)
        chain_drop(&p->lane.in, n);
    else
        stream_consume(&p->stream, n);
}

/* ---- the end of one ---- */

static void clean_up(struct probe *p)
{
    if (p->state == WAITING)
        return;
    close_lane(p);
    stream_close(&p->stream, false);
    chain_clear(&p->out);
    arena_fini(&p->arena);
    free(p->body);
    p->body = NULL;
    pool_end_probe(p->all->pool, p->backend);
}

static void count(struct probe *p, bool ok, const char *why)
{
    struct pool *pool = p->all->pool;
    if (!ok && p->bad == 0)
        log_info(0, "pool " SLICE_FMT " backend %s: probe failed: %s", SLICE_ARG(pool->conf->name),
                 p->backend->text, why);
    p->good = ok ? p->good + 1 : 0;
    p->bad = ok ? 0 : p->bad + 1;
    if (ok && (!p->is_decided || p->good >= conf_of(p)->rise))
        pool_probed(pool, p->backend, true, "its probes succeed");
    if (!ok && (!p->is_decided || p->bad >= conf_of(p)->fall))
        pool_probed(pool, p->backend, false, "its probes fail");
    p->is_decided = true;
}

/* why: only if it has failed. */
static void end(struct probe *p, bool ok, const char *why)
{
    count(p, ok, why);
    clean_up(p);
    wait_for_next(p);
}

/* The reason goes with the stream. */
static void end_broken(struct probe *p, int error)
{
    char why[TLS_WHY_MAX];
    const char *tls = tls_why(&p->stream);
    snprintf(why, sizeof(why), "%s", *tls ? tls : strerror(-error));
    end(p, false, why);
}

/* ---- judging ---- */

static const char *judge_head(const struct probe *p)
{
    const struct health_conf *conf = conf_of(p);
    if (!status_set_has(&conf->statuses, p->head.status))
        return "the status is another than wanted";
    if (!conf->header_name.n)
        return NULL;
    const struct field *f = fields_find_name(&p->head.fields, conf->header_name);
    if (!f)
        return "the wanted field is missing";
    return conf->has_value && !slice_eq(f->value, conf->header_value)
               ? "the wanted field has another value"
               : NULL;
}

static bool matches(const struct probe *p)
{
    struct slice match = conf_of(p)->match;
    return p->body && memmem(p->body, p->body_n, match.p, match.n);
}

static void on_head(struct probe *p)
{
    const char *why = judge_head(p);
    p->has_head = true;
    if (why)
        end(p, false, why);
    else if (!conf_of(p)->match.n)
        end(p, true, NULL);
}

static void on_data(struct probe *p, struct slice data)
{
    if (!p->body)
        p->body = mem_alloc(BODY_MAX);
    size_t n = data.n < BODY_MAX - p->body_n ? data.n : BODY_MAX - p->body_n;
    memcpy(p->body + p->body_n, data.p, n);
    p->body_n += (uint32_t)n;
    if (matches(p))
        end(p, true, NULL);
    else if (p->body_n == BODY_MAX)
        end(p, false, "the wanted text is not there");
}

static void on_event(struct probe *p, enum codec_event event, const struct codec_result *result)
{
    switch (event) {
    case CODEC_MORE:
    case CODEC_LOG: return;
    case CODEC_HEAD:
        if (p->head.status / 100 != 1)
            on_head(p);
        return;
    case CODEC_DATA: on_data(p, result->data); return;
    case CODEC_END: end(p, false, "the wanted text is not there"); return;
    case CODEC_REFUSED:
    case CODEC_BAD: end(p, false, result->fault.what); return;
    }
}

/* ---- talking ---- */

static void put_request(struct probe *p)
{
    const struct probes *ps = p->all;
    const struct health_conf *conf = conf_of(p);
    struct slice path = slice_first(conf->path, slice_find(conf->path, '?'));
    struct cgi_info cgi = {.path = path,
                           .script_name = path,
                           .script_filename = path,
                           .server_name = conf->host,
                           .server_port = 80};
    struct request_head head = {.method = method_lookup(conf->method),
                                .method_text = conf->method,
                                .target = conf->path,
                                .path = path,
                                .query = slice_skip(conf->path, path.n + 1),
                                .has_query = path.n < conf->path.n,
                                .minor = 1};
    struct slice host = conf->host.n ? conf->host : slice_str(p->backend->host);
    head.authority = host;
    fields_add(&head.fields, &p->arena, FIELD_CONNECTION, SLICE("Connection"), SLICE("close"));
    fields_add(&head.fields, &p->arena, FIELD_USER_AGENT, SLICE("User-Agent"), SLICE("sluice"));
    struct codec_request request = {.head = &head,
                                    .framing = {.kind = BODY_NONE},
                                    .target = conf->path,
                                    .host = host,
                                    .cgi = ps->codec->wants_cgi ? &cgi : NULL};
    static const struct fields no_trailers;
    open_lane(p);
    struct chain *out = p->lane.state ? &p->lane.out : &p->out;
    ps->codec->begin(p->lane_state, &request, out);
    ps->codec->put_end(p->lane_state, &no_trailers, out);
    emit(p);
}

static void ask(struct probe *p)
{
    if (conf_of(p)->kind == HEALTH_TCP) {
        end(p, true, NULL);
        return;
    }
    p->state = ASKING;
    if (conf_of(p)->kind == HEALTH_VALUES)
        fcgi_put_get_values(&p->out);
    else
        put_request(p);
}

static void read_values(struct probe *p)
{
    struct slice in = stream_bytes(&p->stream);
    struct fcgi_values values;
    struct fault f;
    switch (fcgi_read_values(&in, &values, &f)) {
    case PARSE_MORE: return;
    case PARSE_DONE: end(p, true, NULL); return;
    case PARSE_BAD: end(p, false, f.what); return;
    }
}

static void decode(struct probe *p)
{
    enum codec_event event = CODEC_HEAD;
    while (p->state == ASKING && event != CODEC_MORE) {
        struct slice in = next_bytes(p);
        size_t before = in.n;
        struct codec_result result = {.response = &p->head};
        event = p->all->codec->feed(p->lane_state, &in, &limits, &p->arena, &result);
        on_event(p, event, &result);
        if (p->state == ASKING)
            consume(p, before - in.n);
    }
    if (p->state != ASKING)
        return;
    if (p->lane.state && p->all->codec->mux->is_over(p->codec_state))
        end(p, false, "the connection ended without an answer");
    else
        emit(p);
}

static void on_eof(struct probe *p)
{
    struct codec_result result = {.response = &p->head};
    if (p->stream.error)
        end_broken(p, p->stream.error);
    else if (conf_of(p)->kind == HEALTH_VALUES)
        end(p, false, "closed without an answer");
    else
        on_event(p, p->all->codec->eof(p->lane_state, &result), &result);
    if (p->state == ASKING)
        end(p, false, "closed without an answer");
}

static void read_answer(struct probe *p)
{
    while (p->state == ASKING && p->stream.readable) {
        ssize_t n = stream_fill(&p->stream);
        if (n == -EAGAIN)
            return;
        if (n <= 0)
            on_eof(p);
        else if (conf_of(p)->kind == HEALTH_VALUES)
            read_values(p);
        else
            decode(p);
    }
}

static void on_ready(struct stream *s)
{
    struct probe *p = container_of(s, struct probe, stream);
    int rc = s->error ? s->error : p->state == CONNECTING && s->reset ? stream_dial_result(s) : 0;
    if (p->state != WAITING && rc < 0) {
        end_broken(p, rc);
        return;
    }
    if (p->state == CONNECTING && s->writable)
        ask(p);
    if (p->state == ASKING && !stream_flush(s, &p->out))
        chain_clear(&p->out); /* it may have answered all the same */
    if (p->state == ASKING)
        read_answer(p);
    if (p->state == ASKING && p->lane.state && !stream_flush(s, &p->out))
        chain_clear(&p->out);
}

/* ---- beginning one ---- */

/* It is we who ask, not a client. */
static struct slice lead_of(struct probe *p)
{
    int version = p->all->pool->conf->proxy_version;
    return slice_of(p->lead, proxy_head_put(p->lead, version, NULL, NULL));
}

static void begin(struct probe *p)
{
    struct probes *ps = p->all;
    const struct sockaddr *addr = (const struct sockaddr *)&p->backend->addr;
    int fd;
    if (!pool_begin_probe(ps->pool, p->backend)) {
        timer_set(ps->loop, &p->timer, SLOT_AGAIN_MS);
        return;
    }
    p->state = CONNECTING;
    p->has_head = false;
    p->body_n = 0;
    memset(p->codec_state, 0, state_bytes(ps->codec));
    chain_init(&p->out, &ps->loop->bufs, OUT_WINDOW);
    arena_init(&p->arena, &ps->loop->bufs);
    p->stream = (struct stream){.loop = ps->loop, .watch = {.fd = -1}};
    timer_set(ps->loop, &p->timer, conf_of(p)->timeout_ms);
    int error = stream_dial(addr, p->backend->addr_len, false, &fd);
    if (!error)
        error = stream_open(&p->stream, ps->loop, fd, on_ready);
    if (ps->pool->conf->proxy_version)
        stream_lead(&p->stream, lead_of(p));
    if (!error)
        conn_encrypt(&p->stream, ps->pool, p->backend);
    if (error == -EAGAIN) { /* a full backlog: it is busy, not dead */
        clean_up(p);
        wait_for_next(p);
    } else if (error) {
        end(p, false, strerror(-error));
    }
}

static void on_due(struct timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    if (p->state == WAITING)
        begin(p);
    else
        end(p, false, p->state == CONNECTING ? "no connection in time" : "no answer in time");
}

/* ---- who is probed ---- */

static void add(struct probes *ps, struct backend *b)
{
    struct probe *p = mem_zalloc(sizeof(*p) + state_bytes(ps->codec));
    p->lane_state = p->codec_state + conn_bytes(ps->codec);
    p->all = ps;
    p->backend = backend_ref(b);
    p->state = WAITING;
    list_init(&p->node);
    list_append(&ps->list, &p->node);
    timer_init(&p->timer, on_due);
    pool_probe(ps->pool, b, true);
    timer_set(ps->loop, &p->timer, 0);
}

static void free_left(struct deferred *d)
{
    struct probes *ps = container_of(d, struct probes, free);
    struct list *node;
    while ((node = list_shift(&ps->freed))) {
        struct probe *p = container_of(node, struct probe, node);
        backend_unref(p->backend);
        free(p);
    }
    if (ps->is_over)
        free(ps);
}

/* Its memory stays until the end of the turn: it may be the one that is running, or an event may be
 * on its way to it. */
static void drop(struct probe *p)
{
    struct probes *ps = p->all;
    clean_up(p);
    p->state = WAITING;
    pool_probe(ps->pool, p->backend, false);
    timer_fini(ps->loop, &p->timer);
    list_remove(&p->node);
    list_append(&ps->freed, &p->node);
    loop_defer(ps->loop, &ps->free);
}

/* Processes of ours are watched in other ways, and programs cannot be asked. */
static bool is_wanted(const struct probes *ps, const struct backend *b)
{
    return ps->pool->conf->health.kind != HEALTH_OFF && b->slot == BACKEND_NO_SLOT &&
           b->addr.ss_family != AF_UNSPEC;
}

static bool is_member(const struct probes *ps, const struct backend *b)
{
    for (uint32_t i = 0; i < ps->pool->count; i++)
        if (ps->pool->backends[i] == b)
            return is_wanted(ps, b);
    return false;
}

static bool is_followed(const struct probes *ps, const struct backend *b)
{
    list_each (node, &ps->list)
        if (container_of(node, struct probe, node)->backend == b)
            return true;
    return false;
}

static void follow(void *ctx)
{
    struct probes *ps = ctx;
    list_each_safe (node, &ps->list) {
        struct probe *p = container_of(node, struct probe, node);
        if (!is_member(ps, p->backend))
            drop(p);
    }
    for (uint32_t i = 0; i < ps->pool->count; i++) {
        struct backend *b = ps->pool->backends[i];
        if (is_wanted(ps, b) && !is_followed(ps, b))
            add(ps, b);
    }
}

struct probes *probes_new(struct loop *l, struct pool *pool, const struct back_codec *codec)
{
    struct probes *ps = mem_zalloc(sizeof(*ps));
    *ps = (struct probes){.loop = l, .pool = pool, .codec = codec, .random = loop_clock_us()};
    list_init(&ps->list);
    list_init(&ps->freed);
    deferred_init(&ps->free, free_left);
    pool->on_change = follow;
    pool->on_change_ctx = ps;
    follow(ps);
    return ps;
}

void probes_free(struct probes *ps)
{
    ps->pool->on_change = NULL;
    list_each_safe (node, &ps->list)
        drop(container_of(node, struct probe, node));
    ps->is_over = true;
    loop_defer(ps->loop, &ps->free);
}
