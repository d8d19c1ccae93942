/* Shared by the files of TLS; nobody else includes OpenSSL's headers.
 * SPDX-License-Identifier: MIT */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* The state of an encrypted stream. */
struct tls {
    SSL *ssl;
    struct stream *stream;
    struct tls_server *server; /* one reference, during the handshake; NULL: the client's end */
    struct tls_client *client; /* one reference; NULL: the server's end */
    struct tls_session *session;
    char *wanted;   /* the name that the peer must have; NULL: the server's end */
    struct buf *in; /* ciphertext that came and was not looked at yet */
    uint32_t in_at;
    struct buf *held; /* ciphertext that the socket had no room for */
    uint32_t held_at;
    uint32_t held_plain; /* so many bytes of the chain's front are in it */
    struct list waiting; /* for its turn to shake hands */
    bool has_begun;      /* our part of the handshake: a server waits for the client's */
    bool has_heard;      /* something of the peer */
    bool is_open;
    bool is_http;
    bool has_closed; /* the peer sent close_notify */
    uint8_t alpn;    /* enum tls_alpn */
    bool needs_alpn; /* the peer must have agreed on a protocol */
    bool is_resumed;
    char *why; /* NULL: nothing failed */
};

/* OpenSSL's oldest complaint as text, and an empty queue. otherwise: where there is none. */
void tls_put_error(char *to, size_t room, const char *otherwise);
/* Writes what and why into fault; false. */
bool tls_refuse(struct tls_fault *fault, const char *what);
bool tls_set_versions(SSL_CTX *ctx, int min, int max, struct tls_fault *fault);
/* Takes over ssl. */
struct tls *tls_attach(struct stream *s, SSL *ssl);
SSL *tls_server_ssl(const struct tls_server *s);
bool tls_tickets_install(SSL_CTX *ctx, struct tls_tickets *t);

#endif
