/* SPDX-License-Identifier: MIT */
#include "pool/conn.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "base/mem.h"

enum { OUT_WINDOW = 64 * 1024 };

static void free_conn(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, free);
    timer_fini(c->stream.loop, &c->timer);
    backend_unref(c->backend);
    free(c);
}

/* Closes the connection and leaves its slot to the caller. */
static void discard(struct conn *c)
{
    c->state = CONN_CLOSED;
    if (c->on_closed)
        c->on_closed(c->closed_ctx, c->stream.eof);
    list_remove(&c->idle_node);
    chain_clear(&c->out);
    stream_close(&c->stream, false);
    timer_clear(&c->timer);
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
    else
        pool_release(c->pool, c->backend);
}

static void on_ready(struct stream *s)
{
    struct conn *c = container_of(s, struct conn, stream);
    if (c->state == CONN_BUSY)
        c->on_ready(c->owner);
    else if (c->state == CONN_IDLE && (s->readable || s->hup))
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
}

static struct conn *open_conn(struct loop *loop, int fd, struct backend *backend, struct pool *pool,
                              uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                              int *error)
{
    struct conn *c = mem_zalloc(sizeof(*c) + codec_bytes);
    c->backend = backend;
    c->pool = pool;
    c->worker = worker;
    list_init(&c->idle_node);
    deferred_init(&c->free, free_conn);
    timer_init(&c->timer, on_due);
    chain_init(&c->out, &loop->bufs, OUT_WINDOW);
    c->stream.loop = loop;
    if (!*error)
        *error = stream_open(&c->stream, loop, fd, on_ready);
    if (*error) {
        pool_release(pool, backend);
        free_conn(&c->free);
        return NULL;
    }
    own(c, owner);
    return c;
}

struct conn *conn_dial(struct loop *loop, struct backend *backend, struct pool *pool,
                       uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                       int *error)
{
    int fd;
    *error = stream_dial((const struct sockaddr *)&backend->addr, backend->addr_len, &fd);
    return open_conn(loop, fd, backend, pool, worker, codec_bytes, owner, error);
}

struct conn *conn_adopt(struct loop *loop, int fd, struct backend *backend, struct pool *pool,
                        uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                        int *error)
{
    *error = 0;
    return open_conn(loop, fd, backend, pool, worker, codec_bytes, owner, error);
}

struct conn *conn_take_idle(struct backend *backend, uint32_t worker)
{
    struct list *node = list_shift(&backend->idle[worker].conns);
    struct conn *c = container_of(node, struct conn, idle_node);
    timer_clear(&c->timer);
    c->state = CONN_BUSY;
    return c;
}

struct conn *conn_own(struct conn *c, bool sure, const struct conn_owner *owner)
{
    if (c->stream.readable || c->stream.hup || (sure && !stream_is_quiet(&c->stream))) {
        discard(c);
        return NULL;
    }
    own(c, owner);
    return c;
}

struct conn *conn_reuse(struct backend *backend, uint32_t worker, bool sure,
                        const struct conn_owner *owner)
{
    struct conn *c = conn_own(conn_take_idle(backend, worker), sure, owner);
    if (c)
        backend_unref(backend); /* the connection has its own */
    return c;
}

static bool is_worth_keeping(struct conn *c)
{
    const struct pool_conf *conf = c->pool->conf;
    bool worn = conf->keep_requests && c->requests >= conf->keep_requests;
    if (worn || atomic_load_explicit(&c->pool->is_retired, memory_order_relaxed) || c->stream.hup || c->stream.in || !chain_is_empty(&c->out))
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
    switch (pool_park(c->pool, c)) {
    case PARK_IDLE: break;
    case PARK_HANDED: return;
    case PARK_FULL: conn_close(c); return;
    }
    c->state = CONN_IDLE;
    list_push(&idle->conns, &c->idle_node);
    timer_set(c->stream.loop, &c->timer, conf->keep_ms);
    if (idle->count > conf->keep_idle) /* the one that has been idle for longest */
        conn_close(container_of(list_last(&idle->conns), struct conn, idle_node));
}

void conn_close_idle(struct backend *backend, uint32_t worker)
{
    struct list *node;
    while ((node = list_first(&backend->idle[worker].conns)))
        conn_close(container_of(node, struct conn, idle_node));
}

void conn_detach(struct conn *c)
{
    loop_unwatch(c->stream.loop, &c->stream.watch);
    timer_fini(c->stream.loop, &c->timer);
}

bool conn_attach(struct conn *c, struct loop *loop, uint32_t worker)
{
    if (c->worker != worker) {
        c->worker = worker;
        chain_init(&c->out, &loop->bufs, OUT_WINDOW);
        if (stream_move(&c->stream, loop) == 0)
            return true;
    } else if (!c->stream.readable && !c->stream.hup) {
        return true;
    }
    discard(c);
    return false;
}
