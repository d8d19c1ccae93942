/* The transport: OpenSSL between memory and memory, one read and one write of the socket around it.
 *
 * A read takes what the socket has into memory that the loop's streams share, and decrypts from
 * there straight into the reader's buffer. A write encrypts up to RECORDS records into shared
 * memory and sends them at once. What a stream must keep between two turns, an unfinished record or
 * what the socket did not take, is copied into a buf of its own.
 *
 * Plaintext stays at the front of the chain until its ciphertext is with the kernel, so that "the
 * chain is empty" means the same as without encryption.
 * SPDX-License-Identifier: MIT */
#include "net/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/direct.h"
#include "net/tls_kernel.h"

static struct tls_loop *new_loop(struct loop *loop)
{
    struct tls_loop *tl = loop->tls = mem_zalloc(sizeof(*tl));
    tl->loop = loop;
    tls_handshakes_init(tl);
    tls_crypt_init(&tl->crypt);
    return tl;
}

struct tls_loop *tls_loop_of(const struct stream *s)
{
    return s->loop->tls ? s->loop->tls : new_loop(s->loop);
}

void tls_put_error(char *to, size_t room, const char *otherwise)
{
    unsigned long e = ERR_get_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    snprintf(to, room, "%s", reason ? reason : otherwise);
    ERR_clear_error();
}

void tls_set_why(struct tls *t, const char *otherwise)
{
    char reason[TLS_WHY_MAX - 8];
    tls_put_error(reason, sizeof(reason), otherwise);
    if (t->why)
        return;
    t->why = mem_zalloc(TLS_WHY_MAX);
    bool has_prefix = reason[0] == 'T' && reason[1] == 'L';
    snprintf(t->why, TLS_WHY_MAX, "%s%s", has_prefix ? "" : "TLS: ", reason);
}

/* ---- ciphertext that goes out ---- */

static ssize_t send_bytes(struct stream *s, const char *p, size_t n)
{
    ssize_t sent = direct_send(s->watch.fd, p, n, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if ((size_t)sent < n)
        s->writable = false;
    return sent;
}

/* Keeps p until the socket has room. False: there is too much already. */
static bool hold(struct tls *t, const char *p, size_t n)
{
    struct buf_pool *pool = &t->stream->loop->bufs;
    struct buf *old = t->held;
    size_t before = old ? old->used - t->held_at : 0;
    if (before + n > BUF_LARGE)
        return false;
    struct buf *b = buf_take(pool, before + n);
    if (before)
        memcpy(b->data, old->data + t->held_at, before);
    memcpy(b->data + before, p, n);
    b->used = (uint32_t)(before + n);
    if (old)
        buf_unref(old);
    t->held = b;
    t->held_at = 0;
    return true;
}

/* 0: nothing is held any more; -EAGAIN; -errno. */
static ssize_t send_held(struct stream *s)
{
    struct tls *t = s->tls;
    while (t->held) {
        ssize_t n = s->writable
                        ? send_bytes(s, t->held->data + t->held_at, t->held->used - t->held_at)
                        : -EAGAIN;
        if (n < 0)
            return n;
        t->held_at += (uint32_t)n;
        if (t->held_at == t->held->used) {
            buf_unref(t->held);
            t->held = NULL;
        }
    }
    return 0;
}

ssize_t tls_send_out(struct stream *s)
{
    struct tls *t = s->tls;
    struct tls_loop *tl = tls_loop_of(s);
    size_t n = tl->used;
    tl->used = 0;
    if (!n)
        return 0;
    ssize_t sent = t->held || !s->writable ? -EAGAIN : send_bytes(s, tl->out, n);
    if (sent < 0 && sent != -EAGAIN)
        return sent;
    if (sent == -EAGAIN) {
        s->writable &= t->held != NULL; /* else the socket has said so */
        sent = 0;
    }
    if ((size_t)sent == n)
        return 0;
    return hold(t, tl->out + sent, n - (size_t)sent) ? -EAGAIN : -ENOBUFS;
}

/* ---- writing ---- */

/* Up to n bytes of a piece that lies outside memory. -errno; a file that ends early is an error. */
static ssize_t read_piece(const struct link *l, size_t at, char *p, size_t n)
{
    ssize_t got = l->kind == LINK_FILE ? pread(l->source->fd, p, n, l->offset + (off_t)at)
                                       : read(l->source->fd, p, n);
    return got < 0 ? -errno : got == 0 ? -EIO : got;
}

/* Where in a chain encryption has come to. */
struct cursor {
    const struct link *link;
    size_t at;
};

static void advance(struct cursor *c, size_t n)
{
    c->at += n;
    if (c->at == c->link->n)
        *c = (struct cursor){c->link->next, 0};
}

/* Copies what makes one record. Bytes, or -errno. */
static ssize_t gather(struct cursor *c, char *p)
{
    size_t n = 0;
    while (c->link && n < TLS_PLAIN_MAX) {
        const struct link *l = c->link;
        size_t left = l->n - c->at;
        size_t part = left < TLS_PLAIN_MAX - n ? left : TLS_PLAIN_MAX - n;
        if (l->kind == LINK_MEM) {
            memcpy(p + n, l->p + c->at, part);
        } else {
            ssize_t got = read_piece(l, c->at, p + n, part);
            if (got < 0)
                return n && got == -EAGAIN ? (ssize_t)n : got;
            part = (size_t)got;
        }
        n += part;
        advance(c, part);
    }
    return (ssize_t)n;
}

/* The next record's bytes: where they lie, if they lie together. *n; or -errno. */
static ssize_t next_record(struct tls_loop *tl, struct cursor *c, const char **p)
{
    const struct link *l = c->link;
    size_t left = l->n - c->at;
    if (l->kind != LINK_MEM || (left < TLS_PLAIN_MAX && l->next)) {
        *p = tl->gathered;
        return gather(c, tl->gathered);
    }
    *p = l->p + c->at;
    size_t n = left < TLS_PLAIN_MAX ? left : TLS_PLAIN_MAX;
    advance(c, n);
    return (ssize_t)n;
}

/* Encrypts from the front of the chain into tl->out. Bytes, or -errno. */
static ssize_t encrypt(struct stream *s, const struct chain *out)
{
    struct tls *t = s->tls;
    struct tls_loop *tl = tls_loop_of(s);
    struct cursor c = {out->head, 0};
    size_t plain = 0;
    for (unsigned i = 0; i < TLS_RECORDS && c.link; i++) {
        const char *p;
        ssize_t n = next_record(tl, &c, &p);
        if (n < 0)
            return plain ? (ssize_t)plain : n;
        int rc = tls_seal(t, p, (size_t)n);
        if (rc)
            return rc;
        plain += (size_t)n;
    }
    return (ssize_t)plain;
}

/* No more of the plaintext stays in the chain than ciphertext waits to be sent. Bytes dropped. */
static ssize_t drop_sent(struct tls *t, struct chain *out)
{
    size_t waits = t->held ? t->held->used - t->held_at : 0;
    size_t stays = t->held_plain < waits ? t->held_plain : waits;
    size_t n = t->held_plain - stays;
    t->held_plain = (uint32_t)stays;
    chain_drop(out, n < out->bytes ? n : out->bytes);
    return (ssize_t)n;
}

/* Once all of ours is with the socket, and no KeyUpdate is owed, which only we can send. */
static void give_to_kernel(struct stream *s)
{
    struct tls *t = s->tls;
    if (!t->wants_kernel || t->held || t->held_plain || (t->record && t->record->owes_update))
        return;
    t->wants_kernel = false;
    t->in_kernel = t->record && tls_kernel_take(s->watch.fd, t->record);
}

/* As many as there must be; the kernel may cut smaller ones. */
static void count_records(struct tls *t, size_t sent)
{
    t->record->out.seq += 1 + sent / TLS_PLAIN_MAX;
}

/* The chain's last byte stays while the kernel has not got rid of the record that it is in. */
static ssize_t kernel_write(struct stream *s, struct chain *out)
{
    struct tls *t = s->tls;
    ssize_t sent = t->held_plain;
    if (!sent) {
        if (tls_record_is_worn(t->record)) {
            tls_set_why(t, "the key is worn, and the kernel cannot change it (RFC 8446 5.5)");
            return -EPROTO;
        }
        sent = transport_plain_send(s, out);
        if (sent == -EAGAIN)
            tls_kernel_push(s->watch.fd);
        if (sent <= 0)
            return sent;
        count_records(t, (size_t)sent);
    }
    bool must_wait = (size_t)sent == out->bytes && !tls_kernel_is_flushed(s->watch.fd);
    t->held_plain = must_wait;
    s->writable &= !must_wait;
    sent -= must_wait;
    chain_drop(out, (size_t)sent);
    return sent ? sent : -EAGAIN;
}

/* Behind all data: in the same write, where the stream's owner has said that it is the last. */
static void say_last_word(struct tls *t)
{
    if (!t->has_said_close)
        tls_seal_close(t);
    t->has_said_close = true;
}

static ssize_t tls_write(struct stream *s, struct chain *out)
{
    struct tls *t = s->tls;
    if (!t->is_open)
        return -EAGAIN;
    give_to_kernel(s);
    if (t->in_kernel)
        return kernel_write(s, out);
    ssize_t rc = send_held(s);
    if (!rc && !t->held_plain) {
        ssize_t plain = encrypt(s, out);
        if (plain < 0) {
            tls_loop_of(s)->used = 0; /* what there is of it is no other stream's */
            return plain;
        }
        t->held_plain = (uint32_t)plain;
        if (s->is_ending && (size_t)plain == out->bytes)
            say_last_word(t);
        rc = tls_send_out(s);
    }
    if (rc && rc != -EAGAIN)
        return rc;
    ssize_t sent = drop_sent(t, out);
    return sent ? sent : -EAGAIN;
}

/* ---- reading ---- */

void tls_load(struct stream *s)
{
    struct tls *t = s->tls;
    struct tls_loop *tl = tls_loop_of(s);
    tl->in = tl->end = tl->got;
    if (!t->in)
        return;
    size_t n = t->in->used - t->in_at;
    memcpy(tl->got, t->in->data + t->in_at, n);
    tl->end += n;
    buf_unref(t->in);
    t->in = NULL;
}

ssize_t tls_receive(struct stream *s)
{
    struct tls_loop *tl = tls_loop_of(s);
    size_t left = (size_t)(tl->end - tl->in);
    if (left && tl->in != tl->got)
        memmove(tl->got, tl->in, left);
    tl->in = tl->got;
    tl->end = tl->got + left;
    size_t room = sizeof(tl->got) - left;
    ssize_t n = direct_recv(s->watch.fd, tl->end, room, 0);
    s->tls->can_read = s->readable = n == (ssize_t)room || s->hup;
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    tl->end += n;
    return n;
}

void tls_keep(struct stream *s)
{
    struct tls *t = s->tls;
    struct tls_loop *tl = tls_loop_of(s);
    size_t left = (size_t)(tl->end - tl->in);
    if (left) {
        t->in = buf_take(&s->loop->bufs, left);
        memcpy(t->in->data, tl->in, left);
        t->in->used = (uint32_t)left;
        t->in_at = 0;
    }
    tl->in = tl->end = tl->got;
}

/* The end without close_notify: anybody could have cut the connection (RFC 8446 6.1, RFC 9112 9.8).
 * A client's request says itself how long it is; a response may end with the connection. */
static ssize_t truncated(struct tls *t)
{
    if (!t->client)
        return 0;
    tls_set_why(t, "TLS: closed without close_notify, so something may be missing (RFC 8446 6.1)");
    return -ECONNRESET;
}

static ssize_t read_on(struct stream *s, char *p, size_t n)
{
    struct tls *t = s->tls;
    bool has_more = tls_has_plain(t);
    tls_load(s);
    ssize_t got = has_more ? tls_unseal(t, p, n) : -EAGAIN;
    for (bool try = true; got == -EAGAIN && try; try = s->readable) {
        ssize_t received = tls_receive(s);
        if (received <= 0)
            return received == 0 ? truncated(t) : received;
        got = tls_unseal(t, p, n);
    }
    return got;
}

static ssize_t tls_read(struct stream *s, char *p, size_t n)
{
    struct tls *t = s->tls;
    if (!t->is_open)
        return t->why ? -EPROTO : -EAGAIN;
    ssize_t got = read_on(s, p, n);
    tls_keep(s);
    ssize_t rc = tls_send_out(s);
    s->readable = t->can_read || tls_has_plain(t);
    return rc < 0 && rc != -EAGAIN ? rc : got;
}

static bool tls_on_event(struct stream *s)
{
    struct tls *t = s->tls;
    bool is_shaking = !t->is_open && !t->why;
    s->writable |= is_shaking && t->can_write;
    t->can_read |= s->readable;
    ssize_t rc = t->held ? send_held(s) : 0;
    if (rc && rc != -EAGAIN && !s->error)
        s->error = (int)rc;
    return is_shaking ? tls_shake(s) : true;
}

/* ---- the rest of the transport ---- */

static void say_goodbye(struct stream *s)
{
    struct tls *t = s->tls;
    if (!t->is_open || s->finished || s->error || t->held_plain)
        return;
    say_last_word(t);
    ssize_t rc = tls_send_out(s);
    (void)rc; /* the socket is going to be closed whatever becomes of it */
}

static void tls_finish(struct stream *s)
{
    say_goodbye(s);
    if (!s->tls->held)
        shutdown(s->watch.fd, SHUT_WR);
}

/* What is no data, a session ticket or new keys, is taken on the way. */
static bool tls_is_quiet(struct stream *s)
{
    struct tls *t = s->tls;
    char c;
    if (tls_has_plain(t) || t->has_stray)
        return false;
    ssize_t got = tls_read(s, &c, 1);
    if (got == -EAGAIN)
        s->readable = false;
    t->has_stray = got > 0; /* it belongs to nobody */
    return got == -EAGAIN;
}

static bool tls_is_clear(const struct stream *s)
{
    const struct tls *t = s->tls;
    return t->is_open && !t->in && !t->held && !t->rest && !t->why && !t->has_stray &&
           (!t->ssl || !SSL_has_pending(t->ssl));
}

static void tls_release(struct stream *s)
{
    struct tls *t = s->tls;
    SSL_free(t->ssl);
    if (t->record) {
        tls_crypt_forget(&tls_loop_of(s)->crypt, t->record);
        explicit_bzero(t->record, sizeof(*t->record));
        free(t->record);
    }
    tls_server_unref(t->server);
    tls_client_unref(t->client);
    list_remove(&t->waiting);
    if (t->in)
        buf_unref(t->in);
    if (t->held)
        buf_unref(t->held);
    if (t->rest)
        buf_unref(t->rest);
    free(t->peer);
    free(t->why);
    free(t->wanted);
    free(t);
    s->tls = NULL;
}

static void tls_close(struct stream *s, bool hard)
{
    if (!hard)
        say_goodbye(s);
    tls_release(s);
}

static const struct transport tls_transport = {
    .name = "TLS",
    .read = tls_read,
    .write = tls_write,
    .finish = tls_finish,
    .on_event = tls_on_event,
    .is_quiet = tls_is_quiet,
    .is_clear = tls_is_clear,
    .close = tls_close,
};

/* ---- for the stream's owner ---- */

struct tls *tls_attach(struct stream *s, SSL *ssl)
{
    struct tls *t = mem_zalloc(sizeof(*t));
    t->stream = s;
    t->ssl = ssl;
    list_init(&t->waiting);
    BIO *bio = tls_bio_new(t);
    SSL_set_bio(ssl, bio, bio);
    s->tls = t;
    s->transport = &tls_transport;
    return t;
}

void tls_accept(struct stream *s, struct tls_server *server)
{
    struct tls *t = tls_attach(s, tls_server_ssl(server));
    t->server = tls_server_ref(server);
    t->has_begun = true;
    t->record = mem_zalloc(sizeof(*t->record));
    t->wants_kernel = tls_server_wants_kernel(server);
    SSL_set_accept_state(t->ssl);
}

/* NULL: it is not encrypted. */
static const struct tls *tls_of(const struct stream *s)
{
    return s->transport == &tls_transport ? s->tls : NULL;
}

bool tls_is_open(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t && t->is_open;
}

bool tls_is_shaking(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t && t->has_begun && !t->is_open && !t->why;
}

const char *tls_why(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t && t->why ? t->why : "";
}

bool tls_is_http(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t && t->is_http;
}

void tls_strip(struct stream *s)
{
    struct tls *t = s->tls;
    s->in = t->in;
    s->in_at = t->in_at;
    t->in = NULL;
    s->error = 0;
    tls_release(s);
    s->transport = &transport_plain;
}

struct tls_peer *tls_take_peer(const struct stream *s)
{
    struct tls_peer *peer = s->tls->peer;
    s->tls->peer = NULL;
    return peer;
}

enum tls_alpn tls_alpn(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t ? t->alpn : TLS_ALPN_NONE;
}

bool tls_is_resumed(const struct stream *s)
{
    const struct tls *t = tls_of(s);
    return t && t->is_resumed;
}

void tls_loop_free(struct tls_loop *tl)
{
    if (!tl)
        return;
    tls_crypt_fini(&tl->crypt);
    free(tl);
}
