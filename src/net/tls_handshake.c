/* The handshake of an encrypted stream, step by step as its bytes come; its owner sees nothing of
 * the socket before the end.
 *
 * Handshakes are costly: a turn of the loop does a bounded number of steps and none once it is
 * long; others wait in line, and are the first of the next turn.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "net/tls_provider.h"

enum { STEPS_PER_TURN = 8, RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 };

static void fail(struct stream *s, int error, const char *otherwise)
{
    tls_set_why(s->tls, otherwise);
    s->error = error;
    s->readable = true;
}

static void after_handshake(struct stream *s)
{
    struct tls *t = s->tls;
    const unsigned char *alpn;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &alpn, &n);
    t->alpn = n == 2 ? TLS_ALPN_H2 : n ? TLS_ALPN_HTTP1 : TLS_ALPN_NONE;
    t->is_resumed = SSL_session_reused(t->ssl);
    t->is_open = true;
    if (t->server)
        t->peer = tls_make_peer(t->ssl);
    tls_give_up_ssl(t);
    tls_server_unref(t->server);
    t->server = NULL;
    if (t->needs_alpn && !n)
        fail(s, -EPROTO, "the backend does not speak the pool's protocol (ALPN)");
}

/* Where no ticket answers the client's last word of the handshake, TCP waits with its
 * acknowledgement for data of ours, 40 ms; and a client whose TCP joins small writes waits for that
 * before it sends its request. */
static void acknowledge(struct stream *s)
{
    int on = 1;
    setsockopt(s->watch.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)); /* fails on unix sockets */
}

/* A record begins with its type, 22 for a handshake's; a method with a letter. */
static bool looks_like_http(const struct tls_loop *tl)
{
    return *tl->in >= 'A' && *tl->in <= 'Z';
}

/* RFC 8446 5.1: what answers a hello is a record of a handshake, or an alert. */
static bool is_no_tls(const struct tls_loop *tl)
{
    return *tl->in != RECORD_HANDSHAKE && *tl->in != RECORD_ALERT;
}

/* One step: with what has come, as far as that goes. True: the handshake is over. */
static bool step(struct stream *s)
{
    struct tls *t = s->tls;
    struct tls_loop *tl = tls_loop_of(s);
    tls_load(s);
    ssize_t got = tl->end - tl->in;
    if (!got)
        got = s->readable ? tls_receive(s) : -EAGAIN;
    if (got == 0)
        return fail(s, -ECONNRESET, "closed during the handshake"), true;
    if (got < 0 && got != -EAGAIN)
        return fail(s, (int)got, strerror((int)-got)), true;
    if (got == -EAGAIN && t->has_begun)
        return false;
    if (got > 0 && !t->has_heard && (t->client ? is_no_tls(tl) : looks_like_http(tl))) {
        t->is_http = !t->client;
        tls_keep(s);
        return fail(s, -EPROTO,
                    t->client ? "it does not speak TLS (is it http:// and not https://?)"
                              : "HTTP was spoken to it"),
               true;
    }
    t->has_begun = true;
    t->has_heard |= got > 0;
    tls_provider_tell(&tl->crypt, t->record);
    outbox_send(&s->loop->outbox); /* what others have said does not wait for this */
    int rc = SSL_do_handshake(t->ssl);
    tls_provider_tell(NULL, NULL);
    bool wants_more = rc <= 0 && SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ;
    if (rc > 0)
        after_handshake(s);
    tls_keep(s);
    if (rc > 0 && !t->client && !tl->used && !t->in && !s->readable)
        acknowledge(s);
    ssize_t sent = tls_send_out(s);
    if (rc <= 0 && !wants_more)
        fail(s, -EPROTO, "the handshake failed");
    else if (sent < 0 && sent != -EAGAIN)
        fail(s, (int)sent, strerror((int)-sent));
    return !wants_more || t->why;
}

/* The stream's owner sees nothing of the socket until the handshake is over. */
static bool shake(struct stream *s)
{
    struct tls *t = s->tls;
    bool over, readable;
    do {
        over = step(s);
        readable = s->readable || t->in;
    } while (!over && readable);
    t->can_read = s->readable;
    s->readable = over && (readable || s->hup);
    return over;
}

static bool take_turn(struct tls *t)
{
    struct tls_loop *tl = tls_loop_of(t->stream);
    if (tl->turn_us != tl->loop->now_us) {
        tl->turn_us = tl->loop->now_us;
        tl->steps = STEPS_PER_TURN;
    }
    if (tl->steps && list_is_empty(&tl->waiting) && !loop_turn_is_long(tl->loop)) {
        tl->steps--;
        return true;
    }
    if (!list_is_linked(&t->waiting))
        list_append(&tl->waiting, &t->waiting);
    loop_defer(tl->loop, &tl->turn);
    return false;
}

/* Until the handshake is over the owner does not see that the socket can be written to. */
static bool hide(struct stream *s, bool is_over)
{
    s->tls->can_write = s->writable;
    s->writable &= is_over;
    return is_over;
}

static void run_first(struct tls_loop *tl)
{
    struct list *node = list_shift(&tl->waiting);
    struct stream *s = container_of(node, struct tls, waiting)->stream;
    s->writable |= s->tls->can_write;
    if (hide(s, shake(s)))
        s->on_ready(s);
}

/* Behind what was ready. A turn that has done steps already does no more once it is long; any other
 * does one, while there is somebody in line, as nobody overtakes him. */
static void run_waiting(struct deferred *d)
{
    struct tls_loop *tl = container_of(d, struct tls_loop, turn);
    bool has_done = tl->turn_us == tl->loop->now_us && tl->steps < STEPS_PER_TURN;
    for (unsigned left = STEPS_PER_TURN; left && !list_is_empty(&tl->waiting); left--) {
        if (has_done && loop_turn_is_long(tl->loop))
            break;
        run_first(tl);
        has_done = true;
    }
    if (!list_is_empty(&tl->waiting))
        loop_defer(tl->loop, &tl->turn);
}

/* True: the handshake is over. */
static bool go_on(struct stream *s)
{
    struct tls *t = s->tls;
    if (t->client && !t->has_begun && (s->reset || !s->writable))
        return s->reset; /* connecting has failed, or goes on */
    if (t->has_begun && !s->readable && !t->in)
        return false;
    return !list_is_linked(&t->waiting) && take_turn(t) && shake(s);
}

bool tls_shake(struct stream *s)
{
    return hide(s, go_on(s));
}

void tls_handshakes_init(struct tls_loop *tl)
{
    list_init(&tl->waiting);
    deferred_init(&tl->turn, run_waiting);
}
