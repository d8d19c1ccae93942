/* SPDX-License-Identifier: MIT */
#include "core/client_proxy.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/proxy_head.h"
#include "core/client.h"
#include "core/gateway_conf.h"
#include "core/listen_conf.h"
#include "core/worker.h"
#include "net/addr.h"
#include "net/tls.h"

static void refuse(struct client *c, const char *why)
{
    char buf[NET_ADDR_TEXT_MAX];
    struct text t = text_of(buf, sizeof(buf));
    client_put_peer(c, &t);
    counter_add(&c->worker->stats.proxy_refused, 1);
    log_info(0, "client " SLICE_FMT ": not taken for a proxy (proxy-protocol): %s",
             SLICE_ARG(text_slice(&t)), why);
    client_close(c, false);
}

static socklen_t size_of(const struct sockaddr_storage *sa)
{
    return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static void become(struct client *c, const struct proxy_head *head)
{
    if (!head->is_known)
        return; /* it is the proxy's own: a probe, maybe */
    memcpy(&c->peer, &head->client, size_of(&head->client));
    c->told_local = mem_zalloc(sizeof(*c->told_local));
    net_addr_set(c->told_local, (const struct sockaddr *)&head->server, size_of(&head->server));
}

static void go_on(struct client *c)
{
    struct tls_server *tls = c->awaited_tls;
    c->awaited_tls = NULL;
    timer_clear(&c->timer);
    client_begin(c, tls);
    tls_server_unref(tls);
    stream_wake(&c->stream);
}

static void proxy_on_ready(struct client *c)
{
    char bytes[PROXY_HEAD_MAX];
    struct proxy_head head;
    struct fault f;
    size_t taken;
    ssize_t n = stream_peek(&c->stream, bytes, sizeof(bytes));
    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        refuse(c, n ? strerror((int)-n) : "closed before its head was complete");
        return;
    }
    switch (proxy_head_parse(slice_of(bytes, (size_t)n), &head, &taken, &f)) {
    case PARSE_MORE:
        if (c->stream.hup)
            refuse(c, "closed before its head was complete");
        return;
    case PARSE_BAD: refuse(c, f.what); return;
    case PARSE_DONE:
        stream_skip(&c->stream, taken);
        become(c, &head);
        go_on(c);
        return;
    }
}

static void proxy_on_due(struct client *c)
{
    refuse(c, "its head took too long (timeout head)");
}

static void proxy_stop(struct client *c)
{
    (void)c; /* what comes of it is told to stop in its turn */
}

static const struct exchange *proxy_exchange_after(const struct client *c,
                                                   const struct exchange *before)
{
    (void)c, (void)before;
    return NULL;
}

static const struct client_protocol client_proxy = {
    .name = "PROXY protocol",
    .on_ready = proxy_on_ready,
    .on_due = proxy_on_due,
    .stop = proxy_stop,
    .kill = proxy_stop,
    .exchange_after = proxy_exchange_after,
};

void client_proxy_start(struct client *c, const struct client_way *way)
{
    c->protocol = &client_proxy;
    if (!cidr_any_has(way->conf->proxies, way->conf->proxy_count, &c->peer.sa)) {
        refuse(c, "its address is not among those to be believed (from)");
        return;
    }
    c->awaited_tls = way->tls ? tls_server_ref(way->tls) : NULL;
    timer_set(&c->worker->loop, &c->timer, client_conf(c)->head_ms);
}
