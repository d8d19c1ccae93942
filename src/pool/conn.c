/* SPDX-License-Identifier: MIT */
#include "pool/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "net/duplex.h"

enum { OUT_WINDOW = 64 * 1024, REDIAL_MAX_MS = 32 };

static void free_conn(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, free);
    timer_fini(c->stream.loop, &c->timer);
    timer_fini(c->stream.loop, &c->redial);
    backend_unref(c->backend);
    pool_unhold(c->pool);
    free(c->lead);
    free(c);
}

/* Closes the connection and leaves its slot to the caller. */
static void discard(struct conn *c)
{
    c->state = CONN_CLOSED;
    if (c->on_closed)
        c->on_closed(c->closed_ctx, c->is_answered || c->stream.eof);
    list_remove(&c->idle_node);
    chain_clear(&c->out);
    stream_close(&c->stream, false);
    timer_clear(&c->timer);
    timer_clear(&c->redial);
    loop_defer(c->stream.loop, &c->free);
}

void conn_close(struct conn *c)
{
    enum conn_state state = c->state;
    if (state == CONN_CLOSED)
        return;
    discard(c);
    if (state == CONN_IDLE)
        pool_unpark(c->pool, c->backend, c->worker);
    else if (c->is_shared)
        pool_close_shared(c->pool, c->backend, c->worker);
    else
        pool_release(c->pool, c->backend, c->worker, &c->outcome);
}

static bool says_end(struct stream *s)
{
    return (s->readable || s->hup) && !stream_is_quiet(s);
}

static void on_ready(struct stream *s)
{
    struct conn *c = container_of(s, struct conn, stream);
    if (c->state == CONN_BUSY)
        c->on_ready(c->owner);
    else if (c->state == CONN_IDLE && (c->on_idle ? !c->on_idle(c->closed_ctx) : says_end(s)))
        conn_close(c);
}

static void on_due(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    if (c->state == CONN_BUSY)
        c->on_due(c->owner);
    else if (c->state == CONN_IDLE)
        conn_close(c);
}

static void own(struct conn *c, const struct conn_owner *owner)
{
    c->state = CONN_BUSY;
    c->owner = owner->owner;
    c->on_ready = owner->on_ready;
    c->on_due = owner->on_due;
    c->requests++;
    c->is_answered = false;
    c->outcome = (struct pool_outcome){.begun_us = c->stream.loop->now_us};
}

/* ---- connecting ---- */

/* Linux answers EAGAIN at once where a TCP connect would wait for room in the backlog (connect(2)):
 * nothing tells when there is some, so it is tried again, ever less often. */
static bool backlog_is_full(const struct conn *c, int error)
{
    return error == -EAGAIN && c->backend->addr.ss_family == AF_UNIX;
}

void conn_encrypt(struct stream *s, struct pool *pool, struct backend *b)
{
    struct tls_client *tls = pool_tls(pool);
    if (tls)
        tls_connect(s, tls, b->host[0] ? b->host : b->text, &b->session);
    tls_client_unref(tls);
}

static int open_stream(struct conn *c, int fd)
{
    int error = stream_open(&c->stream, c->stream.loop, fd, on_ready);
    if (c->lead)
        stream_lead(&c->stream, slice_of(c->lead, c->lead_bytes));
    if (!error)
        conn_encrypt(&c->stream, c->pool, c->backend);
    if (c->stream.tls) /* its handshake is several writes */
        stream_no_delay(fd);
    return error;
}

static int dial(struct conn *c, bool writes_once)
{
    const struct sockaddr *addr = (const struct sockaddr *)&c->backend->addr;
    int fd;
    int error = stream_dial(addr, c->backend->addr_len, writes_once, &fd);
    if (!error)
        return open_stream(c, fd);
    if (!backlog_is_full(c, error))
        return error;
    c->redial_ms = c->redial_ms * 2 < REDIAL_MAX_MS ? c->redial_ms * 2 : REDIAL_MAX_MS;
    timer_set(c->stream.loop, &c->redial, c->redial_ms);
    return 0;
}

static void on_redial(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, redial);
    int error = c->state == CONN_BUSY ? dial(c, false) : 0;
    if (!error)
        return;
    c->stream.error = error;
    c->stream.reset = true;
    c->on_ready(c->owner);
}

static struct conn *new_conn(struct loop *loop, struct backend *backend, struct pool *pool,
                             uint32_t worker, size_t codec_bytes)
{
    struct conn *c = mem_zalloc(sizeof(*c) + codec_bytes);
    c->backend = backend;
    c->pool = pool;
    pool_hold(pool);
    c->worker = worker;
    c->redial_ms = 1;
    c->since_ms = loop->now_ms;
    list_init(&c->idle_node);
    deferred_init(&c->free, free_conn);
    timer_init(&c->timer, on_due);
    timer_init(&c->redial, on_redial);
    chain_init(&c->out, &loop->bufs, OUT_WINDOW);
    c->stream.loop = loop;
    c->stream.watch.fd = -1;
    return c;
}

/* Gives it to its owner, unless it could not be opened. */
static struct conn *deliver(struct conn *c, int error, const struct conn_owner *owner)
{
    static const struct pool_outcome failed = {.verdict = VERDICT_FAIL};
    if (!error) {
        own(c, owner);
        return c;
    }
    pool_release(c->pool, c->backend, c->worker, &failed);
    free_conn(&c->free);
    return NULL;
}

struct conn *conn_dial(struct loop *loop, struct backend *backend, struct pool *pool,
                       uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                       int *error)
{
    struct conn *c = new_conn(loop, backend, pool, worker, codec_bytes);
    if (owner->lead.n)
        c->lead = mem_dup(owner->lead.p, c->lead_bytes = owner->lead.n);
    *error = dial(c, owner->writes_once && !c->lead);
    return deliver(c, *error, owner);
}

struct conn *conn_adopt(struct loop *loop, int from, int to, struct backend *backend,
                        struct pool *pool, uint32_t worker, size_t codec_bytes,
                        const struct conn_owner *owner, int *error)
{
    struct conn *c = new_conn(loop, backend, pool, worker, codec_bytes);
    *error = duplex_open(&c->stream, loop, from, to, on_ready);
    return deliver(c, *error, owner);
}

void conn_look(struct conn *c)
{
    struct stream *s = &c->stream;
    if (c->backend->addr.ss_family == AF_UNIX && s->watch.fd >= 0 && !s->tls && !s->lead.n)
        s->writable = true;
}

int conn_connect_result(const struct conn *c)
{
    const struct stream *s = &c->stream;
    int rc = s->error ? s->error : s->reset ? stream_dial_result(s) : 0;
    return rc < 0 ? rc : s->writable ? 0 : -EINPROGRESS;
}

/* ---- keeping ---- */

struct conn *conn_take_idle(struct backend *backend, uint32_t worker)
{
    struct list *node = list_shift(&backend->idle[worker].conns);
    struct conn *c = container_of(node, struct conn, idle_node);
    timer_clear(&c->timer);
    c->state = CONN_BUSY;
    c->outcome = (struct pool_outcome){.verdict = VERDICT_NONE};
    return c;
}

struct conn *conn_own(struct conn *c, enum conn_trust trust, const struct conn_owner *owner)
{
    bool is_in_doubt = trust == CONN_LOOK || c->stream.readable || c->stream.hup;
    if (trust == CONN_DOUBT || (is_in_doubt && !stream_is_quiet(&c->stream))) {
        discard(c);
        return NULL;
    }
    own(c, owner);
    return c;
}

struct conn *conn_reuse(struct backend *backend, uint32_t worker, enum conn_trust trust,
                        const struct conn_owner *owner)
{
    struct conn *c = conn_own(conn_take_idle(backend, worker), trust, owner);
    if (!c)
        backend_ref(backend); /* that of the dead one goes with it, at the end of the turn */
    return c;
}

bool conn_is_worn(const struct conn *c)
{
    const struct pool_conf *conf = c->pool->conf;
    return conf->proxy_version || (conf->keep_requests && c->requests >= conf->keep_requests) ||
           (conf->keep_age_ms && c->stream.loop->now_ms - c->since_ms >= conf->keep_age_ms);
}

static bool is_worth_keeping(struct conn *c)
{
    if (conn_is_worn(c) || c->stream.hup)
        return false;
    if (c->on_idle)
        return c->pool->conf->keep_idle > 0;
    if (!stream_is_clear(&c->stream) || !chain_is_empty(&c->out))
        return false;
    /* Whether more came behind the response is not known after a splice. */
    return !c->stream.readable || stream_is_quiet(&c->stream);
}

void conn_give(struct conn *c)
{
    struct idle *idle = &c->backend->idle[c->worker];
    const struct pool_conf *conf = c->pool->conf;
    if (!is_worth_keeping(c)) {
        conn_close(c);
        return;
    }
    c->state = CONN_HANDED;
    enum park park = pool_park(c->pool, c);
    if (park == PARK_CLOSE)
        conn_close(c);
    else
        c->is_shared = false; /* until it is again */
    if (park != PARK_KEEP)
        return;
    c->state = CONN_IDLE;
    list_push(&idle->conns, &c->idle_node);
    timer_set(c->stream.loop, &c->timer, conf->keep_ms);
    if (idle->count > conf->keep_idle) /* the one that has been idle for longest */
        conn_close(container_of(list_last(&idle->conns), struct conn, idle_node));
}

/* ---- sharing ---- */

static void begin_sharing(struct conn *c)
{
    c->is_shared = true;
    pool_open_shared(c->pool, c->backend, c->worker);
    list_push(&c->backend->idle[c->worker].shared, &c->idle_node);
}

void conn_share(struct conn *c, bool (*on_idle)(void *ctx),
                void (*on_closed)(void *ctx, bool by_peer), void *ctx)
{
    c->on_idle = on_idle;
    c->on_closed = on_closed;
    c->closed_ctx = ctx;
    begin_sharing(c);
}

void conn_own_shared(struct conn *c, const struct conn_owner *owner)
{
    c->owner = owner->owner;
    c->on_ready = owner->on_ready;
    c->on_due = owner->on_due;
    begin_sharing(c);
}

void conn_detach(struct conn *c)
{
    loop_unwatch(c->stream.loop, &c->stream.watch);
    timer_fini(c->stream.loop, &c->timer);
    timer_fini(c->stream.loop, &c->redial);
}

bool conn_attach(struct conn *c, struct loop *loop, uint32_t worker)
{
    if (c->worker != worker) {
        c->worker = worker;
        chain_init(&c->out, &loop->bufs, OUT_WINDOW);
        if (stream_move(&c->stream, loop) == 0)
            return true;
    } else if (!(c->stream.readable || c->stream.hup) || stream_is_quiet(&c->stream)) {
        return true;
    }
    discard(c);
    return false;
}
