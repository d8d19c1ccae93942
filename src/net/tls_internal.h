/* Shared by the files of TLS; nobody else includes OpenSSL's headers.
 * SPDX-License-Identifier: MIT */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"
#include "net/tls_record.h"

enum {
    TLS_RECORDS = 4, /* in one write */
    TLS_OUT_BYTES = TLS_RECORDS * (TLS_PLAIN_MAX + 256),
};

/* What the encrypted streams of a loop share. */
struct tls_loop {
    struct loop *loop;
    struct deferred turn;
    struct list waiting; /* of struct tls */
    uint64_t turn_us;
    unsigned steps; /* of handshakes, left in this turn */
    char *in, *end; /* ciphertext of the stream at work, in got */
    size_t used;    /* of out */
    struct tls_crypt crypt;
    char out[TLS_OUT_BYTES]; /* ciphertext to be sent */
    char gathered[TLS_PLAIN_MAX];
    char got[BUF_LARGE];
};

/* The state of an encrypted stream. A server's end has `ssl` during the handshake and, with
 * TLS 1.3, `record` afterwards; a client's end and TLS 1.2 keep `ssl`. */
struct tls {
    SSL *ssl;                  /* NULL: given up */
    struct tls_record *record; /* in its place; before, what is known of the keys */
    struct stream *stream;
    struct tls_server *server; /* one reference, during the handshake; NULL: the client's end */
    struct tls_client *client; /* one reference; NULL: the server's end */
    struct tls_session *session;
    char *wanted;          /* the name that the peer must have; NULL: the server's end */
    struct tls_peer *peer; /* until tls_take_peer() */
    struct buf *in;        /* ciphertext that came and was not looked at yet */
    struct buf *rest;      /* plaintext that the reader had no room for */
    struct buf *held;      /* ciphertext that the socket had no room for */
    uint32_t in_at, rest_at, held_at;
    uint32_t held_plain; /* so many bytes of the chain's front are in it, or with the kernel */
    struct list waiting; /* for its turn to shake hands */
    char *why;           /* NULL: nothing failed */
    bool has_begun;      /* our part of the handshake: a server waits for the client's */
    bool has_heard;      /* something of the peer */
    bool can_read;  /* the socket may have more; `readable` also says that there is plaintext */
    bool can_write; /* so does the socket, while that is hidden from the owner */
    bool is_open;
    bool is_http;
    bool has_closed;     /* the peer sent close_notify */
    bool has_said_close; /* so did we */
    bool has_stray;      /* data came that nobody asked for */
    bool needs_alpn;     /* the peer must have agreed on a protocol */
    bool is_resumed;
    bool wants_kernel; /* with the first data to be sent */
    bool in_kernel;    /* which seals what is sent: see tls_kernel.h */
    uint8_t alpn;      /* enum tls_alpn */
};

/* tls_stream.c: the ciphertext of a stream, in the memory that its loop's streams share. */

/* That memory; the first to ask has it made. */
struct tls_loop *tls_loop_of(const struct stream *s);
/* Keeps why the stream has failed, for tls_why(): OpenSSL's reason, or the other where it has none.
 * The first one stays. */
void tls_set_why(struct tls *t, const char *otherwise);
/* Puts what is kept of the stream's ciphertext into tl->in, to be read. */
void tls_load(struct stream *s);
/* Behind it, what the socket has now. Bytes; 0: the end; -EAGAIN; -errno. */
ssize_t tls_receive(struct stream *s);
/* Keeps what has not been read of it: the next stream's is to lie there. */
void tls_keep(struct stream *s);
/* Sends what is in tl->out, behind what is held; the rest is held. 0, -EAGAIN or -errno. */
ssize_t tls_send_out(struct stream *s);

/* tls_handshake.c */

/* Handshakes of this loop wait in line from now on. */
void tls_handshakes_init(struct tls_loop *tl);
/* What an event means to a stream that has not shaken hands yet. True: the owner is to be told, as
 * it has (t->is_open) or cannot (t->why). */
bool tls_shake(struct stream *s);

/* tls_bio.c: reads tl->in and writes tl->out of whichever stream is at work. Cannot fail. */
BIO *tls_bio_new(struct tls *t);

/* tls_cipher.c: between the plaintext of a stream and tl->out, or tl->in. */

/* One record of data: 0 or -EPROTO. */
int tls_seal(struct tls *t, const char *p, size_t n);
/* What lies in tl->in, as far as records are whole. Bytes; 0: close_notify; -EAGAIN; -EPROTO. */
ssize_t tls_unseal(struct tls *t, char *p, size_t n);
/* Whether tls_unseal() has something to give without more of the socket. */
bool tls_has_plain(const struct tls *t);
void tls_seal_close(struct tls *t);
/* The handshake is over: gives OpenSSL's object up if that is possible. */
void tls_give_up_ssl(struct tls *t);

/* OpenSSL's oldest complaint as text, and an empty queue. otherwise: where there is none. */
void tls_put_error(char *to, size_t room, const char *otherwise);
/* Writes what and why into fault; false. */
bool tls_refuse(struct tls_fault *fault, const char *what);
bool tls_set_versions(SSL_CTX *ctx, int min, int max, struct tls_fault *fault);
/* Takes over ssl. */
struct tls *tls_attach(struct stream *s, SSL *ssl);
SSL *tls_server_ssl(const struct tls_server *s);
bool tls_server_wants_kernel(const struct tls_server *s);
bool tls_tickets_install(SSL_CTX *ctx, struct tls_tickets *t);
struct tls_peer *tls_make_peer(const SSL *ssl);

#endif
