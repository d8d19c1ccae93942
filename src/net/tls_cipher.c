/* Plaintext to ciphertext and back: by OpenSSL's object, or, once that is gone, by the record
 * layer. SPDX-License-Identifier: MIT */
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"
#include "net/tls_kernel.h"

/* ---- with OpenSSL's object ---- */

static ssize_t ssl_unseal(struct tls *t, char *p, size_t n)
{
    size_t got = 0;
    int rc = 1;
    while (got < n && (rc = SSL_read(t->ssl, p + got, (int)(n - got))) > 0)
        got += (size_t)rc;
    if (rc > 0)
        return (ssize_t)got;
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: break;
    case SSL_ERROR_ZERO_RETURN: t->has_closed = true; break;
    default: tls_set_why(t, "the connection broke"); break;
    }
    if (got)
        return (ssize_t)got;
    return t->why ? -EPROTO : t->has_closed ? 0 : -EAGAIN;
}

/* ---- by the record layer ---- */

static bool record_seal(struct tls *t, enum tls_content type, const void *p, size_t n)
{
    struct tls_loop *tl = tls_loop_of(t->stream);
    if (n + TLS_RECORD_EXTRA + TLS_UPDATE_BYTES > TLS_OUT_BYTES - tl->used)
        return false;
    size_t sealed = tls_record_seal(&tl->crypt, t->record, type, p, n, tl->out + tl->used);
    tl->used += sealed;
    return sealed > 0;
}

static void send_alert(struct tls *t, const unsigned char message[2])
{
    if (t->in_kernel)
        tls_kernel_alert(t->stream->watch.fd, message);
    else
        record_seal(t, TLS_ALERT, message, 2);
}

/* The peer is told, and nothing more is read. */
static void refuse(struct tls *t, uint8_t alert)
{
    const unsigned char message[] = {2, alert};
    char why[TLS_WHY_MAX];
    snprintf(why, sizeof(why), "a record was refused: %s", SSL_alert_desc_string_long(alert));
    tls_set_why(t, why);
    send_alert(t, message);
}

/* RFC 8446 4.6.3: the answer must come before more data, and the kernel cannot give it. */
static void on_update(struct tls *t)
{
    if (t->in_kernel && t->record->owes_update)
        refuse(t, TLS_INTERNAL_ERROR);
}

static void note_alert(struct tls *t, uint8_t alert)
{
    char why[TLS_WHY_MAX];
    snprintf(why, sizeof(why), "alert of the peer: %s", SSL_alert_desc_string_long(alert));
    tls_set_why(t, why);
}

static size_t take_rest(struct tls *t, char *p, size_t n)
{
    size_t left = t->rest->used - t->rest_at;
    size_t part = left < n ? left : n;
    memcpy(p, t->rest->data + t->rest_at, part);
    t->rest_at += (uint32_t)part;
    if (part == left) {
        buf_unref(t->rest);
        t->rest = NULL;
    }
    return part;
}

/* Hands over what there is room for, and keeps the rest. */
static size_t hand_over(struct tls *t, const char *plain, size_t plain_n, char *p, size_t n)
{
    size_t part = plain_n < n ? plain_n : n;
    memcpy(p, plain, part);
    if (part < plain_n) {
        t->rest = buf_take(&t->stream->loop->bufs, plain_n - part);
        memcpy(t->rest->data, plain + part, plain_n - part);
        t->rest->used = (uint32_t)(plain_n - part);
        t->rest_at = 0;
    }
    return part;
}

/* Straight into the reader's memory where the whole record fits, else in its own place. Bytes. */
static size_t open_one(struct tls *t, struct slice record, char *p, size_t n)
{
    struct tls_loop *tl = tls_loop_of(t->stream);
    bool fits = tls_record_room(record) <= n;
    char *to = fits ? p : tl->in + TLS_RECORD_HEAD;
    size_t plain_n;
    uint8_t alert;
    switch (tls_record_open(&tl->crypt, t->record, record, to, &plain_n, &alert)) {
    case TLS_OPENED_DATA: return fits ? plain_n : hand_over(t, to, plain_n, p, n);
    case TLS_OPENED_NOTHING: on_update(t); return 0;
    case TLS_OPENED_CLOSE: t->has_closed = true; return 0;
    case TLS_OPENED_ALERT: note_alert(t, alert); return 0;
    case TLS_OPENED_BAD: refuse(t, alert); return 0;
    }
    return 0;
}

/* The record that tl->in begins with; empty: it is not whole yet. A length that no record may have
 * is not waited for. */
static struct slice next_record(struct tls *t, struct tls_loop *tl)
{
    struct slice all = slice_of(tl->in, (size_t)(tl->end - tl->in));
    size_t bytes = tls_record_bytes(all);
    if (bytes > TLS_RECORD_HEAD + TLS_CIPHER_MAX) {
        refuse(t, TLS_RECORD_OVERFLOW);
        return SLICE_NONE;
    }
    return bytes && bytes <= all.n ? slice_first(all, bytes) : SLICE_NONE;
}

static ssize_t record_unseal(struct tls *t, char *p, size_t n)
{
    struct tls_loop *tl = tls_loop_of(t->stream);
    size_t got = t->rest ? take_rest(t, p, n) : 0;
    while (got < n && !t->rest && !t->why && !t->has_closed) {
        struct slice record = next_record(t, tl);
        if (!record.n)
            break;
        got += open_one(t, record, p + got, n - got);
        tl->in += record.n;
    }
    if (got)
        return (ssize_t)got;
    return t->why ? -EPROTO : t->has_closed ? 0 : -EAGAIN;
}

/* ---- either ---- */

int tls_seal(struct tls *t, const char *p, size_t n)
{
    bool ok = t->record ? record_seal(t, TLS_DATA, p, n) : SSL_write(t->ssl, p, (int)n) == (int)n;
    if (!ok)
        tls_set_why(t, "could not encrypt");
    return ok ? 0 : -EPROTO;
}

ssize_t tls_unseal(struct tls *t, char *p, size_t n)
{
    return t->record ? record_unseal(t, p, n) : ssl_unseal(t, p, n);
}

/* Ciphertext that is kept is looked at when there is more of it, unless it is a whole record. */
static bool has_whole_record(const struct tls *t)
{
    struct slice kept = slice_of(t->in->data + t->in_at, t->in->used - t->in_at);
    size_t bytes = tls_record_bytes(kept);
    return bytes && bytes <= kept.n;
}

bool tls_has_plain(const struct tls *t)
{
    if (t->rest || t->has_closed || t->why)
        return true;
    if (t->record)
        return t->in && has_whole_record(t);
    return t->in || SSL_pending(t->ssl) > 0;
}

void tls_seal_close(struct tls *t)
{
    static const unsigned char message[] = {1, TLS_CLOSE_NOTIFY};
    if (t->record)
        send_alert(t, message);
    else
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

/* What the last step of the handshake has written are tickets: the first records under the keys
 * that go on. */
static uint64_t records_written(const struct tls_loop *tl)
{
    struct slice out = slice_of(tl->out, tl->used);
    uint64_t count = 0;
    for (size_t n; (n = tls_record_bytes(out)) && n <= out.n; out = slice_skip(out, n))
        count++;
    return count;
}

void tls_give_up_ssl(struct tls *t)
{
    struct tls_loop *tl = tls_loop_of(t->stream);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    if (!t->record)
        return;
    if (SSL_version(t->ssl) != TLS1_3_VERSION || SSL_has_pending(t->ssl) || !cipher ||
        !tls_record_begin(&tl->crypt, t->record, SSL_CIPHER_get_protocol_id(cipher))) {
        explicit_bzero(t->record, sizeof(*t->record));
        free(t->record);
        t->record = NULL;
        return;
    }
    t->record->out.seq = records_written(tl);
    SSL_free(t->ssl);
    t->ssl = NULL;
}
