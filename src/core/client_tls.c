/* SPDX-License-Identifier: MIT */
#include "core/client_tls.h"

#include "base/log.h"
#include "core/client.h"
#include "core/client_h2.h"
#include "core/stats.h"
#include "core/worker.h"
#include "net/addr.h"
#include "net/tls.h"

static void log_failure(const struct client *c, const char *why)
{
    char buf[NET_ADDR_TEXT_MAX];
    struct text t = text_of(buf, sizeof(buf));
    client_put_peer(c, &t);
    log_info(0, "client " SLICE_FMT ": no TLS connection: %s", SLICE_ARG(text_slice(&t)), why);
}

/* The client is told in the protocol that it speaks. */
static void answer_plainly(struct client *c)
{
    tls_strip(&c->stream);
    c->misplaced = "plain HTTP was sent to a port that speaks HTTPS: use https://";
    c->allows_h2 = false;
    client_h1_start(c);
    c->protocol->on_ready(c);
}

static void fail(struct client *c)
{
    log_failure(c, tls_why(&c->stream));
    counter_add(&c->listener->tls_failures, 1);
    if (tls_is_http(&c->stream))
        answer_plainly(c);
    else
        client_close(c, false);
}

static void tls_on_ready(struct client *c)
{
    if (!tls_is_open(&c->stream)) {
        fail(c);
        return;
    }
    counter_add(&c->listener->tls_handshakes, 1);
    if (tls_is_resumed(&c->stream))
        counter_add(&c->listener->tls_resumed, 1);
    c->tls_peer = tls_take_peer(&c->stream);
    c->allows_h2 = false; /* but by ALPN (RFC 9113 3.2) */
    if (tls_alpn(&c->stream) == TLS_ALPN_H2) {
        client_h2_start(c);
        return;
    }
    client_h1_start(c);
    if (c->stream.readable)
        c->protocol->on_ready(c);
}

static void tls_on_due(struct client *c)
{
    log_failure(c, "the handshake took too long (handshake)");
    counter_add(&c->listener->tls_failures, 1);
    client_close(c, false);
}

static void tls_stop(struct client *c)
{
    (void)c; /* what comes of the handshake is told to stop in its turn */
}

static void tls_kill(struct client *c)
{
    (void)c;
}

static const struct exchange *tls_exchange_after(const struct client *c,
                                                 const struct exchange *before)
{
    (void)c;
    (void)before;
    return NULL;
}

static const struct client_protocol client_tls = {
    .name = "TLS handshake",
    .on_ready = tls_on_ready,
    .on_due = tls_on_due,
    .stop = tls_stop,
    .kill = tls_kill,
    .exchange_after = tls_exchange_after,
};

void client_tls_start(struct client *c, struct tls_server *tls)
{
    c->protocol = &client_tls;
    c->is_tls = true;
    timer_set(&c->worker->loop, &c->timer, tls_server_handshake_ms(tls));
    tls_accept(&c->stream, tls);
}
