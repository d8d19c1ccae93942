/* SPDX-License-Identifier: MIT */
#include "core/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/client_proxy.h"
#include "core/client_tls.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "net/addr.h"

/* Then others get their turn. */
enum { DRAINS_PER_TURN = 8, STOPS_PER_TURN = 32 };

static const char *const state_names[] = {"idle", "linger", "closed"};

const struct gateway_conf *client_conf(const struct client *c)
{
    return &c->worker->snapshot->gateway;
}

/* ---- the end ---- */

static void free_client(struct deferred *d)
{
    struct client *c = container_of(d, struct client, free);
    if (c->protocol->fini)
        c->protocol->fini(c);
    free(c->tls_peer);
    chain_clear(&c->out);
    timer_fini(&c->worker->loop, &c->timer);
    tls_server_unref(c->awaited_tls);
    free(c->told_local);
    free(c);
}

void client_close(struct client *c, bool hard)
{
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    if (c->stream.outbox_place && !hard) /* what was answered is not lost */
        stream_flush(&c->stream, &c->out);
    chain_clear(&c->out);
    stream_close(&c->stream, hard);
    timer_clear(&c->timer);
    list_remove(&c->free.node);
    loop_defer(&c->worker->loop, &c->free);
    counter_add(&c->listener->left, 1);
    worker_client_left(c->worker);
}

/* Reads what still comes and throws it away; true: the client has closed, or misbehaves. */
static bool drain(struct client *c)
{
    for (unsigned i = 0; c->stream.readable; i++) {
        if (i == DRAINS_PER_TURN) {
            stream_again(&c->stream);
            return false;
        }
        stream_consume(&c->stream, stream_bytes(&c->stream).n);
        ssize_t n = stream_fill(&c->stream);
        if (n == -EAGAIN)
            return false;
        if (n <= 0)
            return true;
    }
    stream_consume(&c->stream, stream_bytes(&c->stream).n);
    return false;
}

static void linger(struct client *c)
{
    c->state = CLIENT_LINGER;
    stream_finish(&c->stream);
    timer_set(&c->worker->loop, &c->timer, client_conf(c)->linger_ms);
    if (drain(c))
        client_close(c, false);
}

/* Unread bytes of the client would turn our close into a reset that can overtake the response. */
void client_end(struct client *c, bool all_was_read)
{
    bool nothing_waits = all_was_read && !c->stream.readable && !stream_bytes(&c->stream).n;
    if (nothing_waits || c->stream.eof)
        client_close(c, false);
    else
        linger(c);
}

/* ---- events ---- */

static void on_ready(struct stream *s)
{
    struct client *c = container_of(s, struct client, stream);
    switch (c->state) {
    case CLIENT_OPEN: c->protocol->on_ready(c); return;
    case CLIENT_LINGER:
        if (drain(c))
            client_close(c, false);
        return;
    case CLIENT_CLOSED: return;
    }
}

static void on_due(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);
    switch (c->state) {
    case CLIENT_OPEN: c->protocol->on_due(c); return;
    case CLIENT_LINGER: client_close(c, false); return;
    case CLIENT_CLOSED: return;
    }
}

void client_begin(struct client *c, struct tls_server *tls)
{
    if (tls)
        client_tls_start(c, tls);
    else
        client_h1_start(c);
}

void client_accept(struct worker *w, const struct client_way *way, int fd,
                   const struct sockaddr *addr, socklen_t len)
{
    struct client *c = mem_zalloc(sizeof(*c));
    c->worker = w;
    c->listener = way->stats;
    c->allows_h2 = true;
    memcpy(&c->peer, addr, len < sizeof(c->peer) ? len : sizeof(c->peer));
    if (len < sizeof(addr->sa_family))
        c->peer.sa.sa_family = AF_UNIX;
    timer_init(&c->timer, on_due);
    deferred_init(&c->free, free_client);
    chain_init(&c->out, &w->loop.bufs, w->snapshot->gateway.window);
    if (stream_open(&c->stream, &w->loop, fd, on_ready) < 0) {
        free(c);
        return;
    }
    c->since_ms = w->loop.now_ms;
    list_append(&w->clients, &c->free.node);
    worker_client_joined(w);
    counter_add(&way->stats->joined, 1);
    if (way->conf && way->conf->takes_proxies)
        client_proxy_start(c, way);
    else
        client_begin(c, way->tls);
}

/* ---- exchanges ---- */

void client_put_peer(const struct client *c, struct text *t)
{
    struct net_addr a;
    net_addr_set(&a, &c->peer.sa, sizeof(c->peer));
    if (c->peer.sa.sa_family == AF_UNIX)
        text_lit(t, "unix");
    else
        net_addr_put_host(t, &a);
}

struct exchange *client_exchange(struct client *c, uint64_t start_us)
{
    struct exchange *x = exchange_new(c->worker);
    x->listener = c->listener;
    x->peer = &c->peer.sa;
    x->https = c->is_tls;
    x->tls_peer = c->tls_peer;
    x->start_us = start_us;
    x->read_us = c->worker->loop.now_us;
    return x;
}

socklen_t client_local(const struct client *c, struct sockaddr_storage *sa)
{
    const struct net_addr *bound = c->told_local ? c->told_local : &c->listener->local;
    socklen_t len = sizeof(*sa);
    if (bound->len) {
        memcpy(sa, &bound->un, sizeof(bound->un));
        return bound->len;
    }
    return getsockname(c->stream.watch.fd, (struct sockaddr *)sa, &len) == 0 ? len : 0;
}

/* ---- being looked at ---- */

static void copy_text(char *to, size_t room, struct slice from)
{
    size_t n = from.n < room - 1 ? from.n : room - 1;
    if (n)
        memcpy(to, from.p, n);
    to[n] = '\0';
}

static void view_exchange(const struct exchange *x, uint64_t now_us, struct client_view *v)
{
    v->id = x->id;
    v->exchange_state = exchange_state_name(x->state);
    v->exchange_age_ms = now_us > x->start_us ? (now_us - x->start_us) / 1000 : 0;
    v->attempts = x->attempt.count;
    v->received_bytes = x->req_bytes;
    v->sent_bytes = x->resp_bytes;
    copy_text(v->method, sizeof(v->method), x->req.method_text);
    copy_text(v->target, sizeof(v->target), x->req.target);
    if (x->attempt.pool)
        copy_text(v->pool, sizeof(v->pool), x->attempt.pool->conf->name);
    if (x->attempt.backend)
        copy_text(v->backend, sizeof(v->backend), slice_str(x->attempt.backend->text));
}

static void view_client(const struct client *c, const struct exchange *x, struct client_view *v)
{
    struct net_addr a;
    struct text t = text_of(v->client, sizeof(v->client) - 1);
    net_addr_set(&a, &c->peer.sa, sizeof(c->peer));
    if (c->peer.sa.sa_family == AF_UNIX)
        text_lit(&t, "unix");
    else
        net_addr_put(&t, &a);
    v->state = x ? "busy" : state_names[c->state];
    v->age_ms = c->worker->loop.now_ms - c->since_ms;
    v->requests = c->requests;
    if (x)
        view_exchange(x, c->worker->loop.now_us, v);
}

uint32_t clients_view(struct worker *w, uint64_t limit,
                      void (*show)(void *ctx, const struct client_view *view), void *ctx)
{
    uint32_t left_out = 0;
    uint64_t shown = 0;
    list_each (node, &w->clients) {
        const struct client *c = container_of(node, struct client, free.node);
        const struct exchange *x = NULL;
        do {
            x = c->state == CLIENT_OPEN ? c->protocol->exchange_after(c, x) : NULL;
            if (shown == limit) {
                left_out++;
                continue;
            }
            struct client_view v = {0};
            view_client(c, x, &v);
            show(ctx, &v);
            shown++;
        } while (x && c->protocol->exchange_after(c, x));
    }
    return left_out;
}

/* ---- stopping ---- */

static void stop_first(struct worker *w)
{
    struct list *node = list_shift(&w->clients);
    struct client *c = container_of(node, struct client, free.node);
    list_append(&w->clients, node);
    if (c->state == CLIENT_OPEN)
        c->protocol->stop(c);
}

/* Most are idle and close at once. Nobody is left out, as those behind `unstopped` come last. */
static void stop_some(struct deferred *d)
{
    struct worker *w = container_of(d, struct worker, stop_more);
    for (unsigned i = 0; i < STOPS_PER_TURN && w->unstopped; i++, w->unstopped--) {
        if (list_is_empty(&w->clients))
            return;
        stop_first(w);
    }
    if (w->unstopped)
        loop_defer(&w->loop, d);
}

void clients_stop(struct worker *w)
{
    w->unstopped = w->client_count;
    w->stop_more.run = stop_some;
    loop_defer(&w->loop, &w->stop_more);
}

void clients_kill(struct worker *w)
{
    list_each_safe (node, &w->clients) {
        struct client *c = container_of(node, struct client, free.node);
        if (c->state == CLIENT_OPEN)
            c->protocol->kill(c);
        client_close(c, false);
    }
}
