/* SPDX-License-Identifier: MIT */
#include "pool/conn.h"

#include <stdlib.h>

#include "base/mem.h"

enum { OUT_WINDOW = 64 * 1024 };

static void free_conn(struct deferred *d)
{
    struct conn *c = container_of(d, struct conn, free);
    timer_fini(c->stream.loop, &c->timer);
    backend_unref(c->backend);
    free(c);
}

static struct idle *idle_of(struct conn *c)
{
    return &c->backend->idle[c->worker];
}

static void leave_idle(struct conn *c)
{
    list_remove(&c->idle_node);
    idle_of(c)->count--;
}

void conn_close(struct conn *c)
{
    if (c->stream.watch.fd < 0)
        return;
    if (list_is_linked(&c->idle_node))
        leave_idle(c);
    c->owner = NULL;
    chain_clear(&c->out);
    stream_close(&c->stream, false);
    timer_clear(&c->timer);
    loop_defer(c->stream.loop, &c->free);
}

static void on_ready(struct stream *s)
{
    struct conn *c = container_of(s, struct conn, stream);
    if (c->owner)
        c->on_ready(c->owner);
    else if (s->readable || s->hup)
        conn_close(c);
}

static void on_due(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    if (c->owner)
        c->on_due(c->owner);
    else
        conn_close(c);
}

static void own(struct conn *c, const struct conn_owner *owner)
{
    c->owner = owner->owner;
    c->on_ready = owner->on_ready;
    c->on_due = owner->on_due;
    c->requests++;
}

struct conn *conn_dial(struct loop *loop, struct backend *backend, const struct pool_conf *pool,
                       uint32_t worker, size_t codec_bytes, const struct conn_owner *owner,
                       int *error)
{
    int fd;
    *error = stream_dial((const struct sockaddr *)&backend->addr, backend->addr_len, &fd);
    if (*error) {
        backend_unref(backend);
        return NULL;
    }
    struct conn *c = mem_zalloc(sizeof(*c) + codec_bytes);
    c->backend = backend;
    c->pool = pool;
    c->worker = worker;
    list_init(&c->idle_node);
    deferred_init(&c->free, free_conn);
    timer_init(&c->timer, on_due);
    chain_init(&c->out, &loop->bufs, OUT_WINDOW);
    *error = stream_open(&c->stream, loop, fd, on_ready);
    if (*error) {
        free_conn(&c->free);
        return NULL;
    }
    own(c, owner);
    return c;
}

struct conn *conn_reuse(struct backend *backend, uint32_t worker, bool sure,
                        const struct conn_owner *owner)
{
    struct list *node;
    while ((node = list_first(&backend->idle[worker].conns))) {
        struct conn *c = container_of(node, struct conn, idle_node);
        if (c->stream.readable || c->stream.hup || (sure && !stream_is_quiet(&c->stream))) {
            conn_close(c);
            continue;
        }
        leave_idle(c);
        timer_clear(&c->timer);
        own(c, owner);
        backend_unref(backend); /* the connection has its own */
        return c;
    }
    return NULL;
}

void conn_give(struct conn *c)
{
    struct idle *idle = idle_of(c);
    uint32_t limit = c->pool->keep_requests;
    stream_settle(&c->stream);
    if (idle->count >= c->pool->keep_idle || (limit && c->requests >= limit) || c->stream.hup ||
        c->stream.in || (c->stream.readable && !stream_is_quiet(&c->stream))) {
        conn_close(c);
        return;
    }
    c->owner = NULL;
    list_push(&idle->conns, &c->idle_node);
    idle->count++;
    timer_set(c->stream.loop, &c->timer, c->pool->keep_ms);
}
