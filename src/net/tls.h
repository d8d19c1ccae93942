/* TLS beneath a stream, with OpenSSL: what encrypts takes the plain transport's place, and nobody
 * above sees anything but a stream.
 *
 * A context (struct tls_server, struct tls_client) is what a listener or a pool is configured with:
 * immutable, counted, shared by all threads. It is made from the contents of files, which whoever
 * may read them brings.
 * SPDX-License-Identifier: MIT */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/stream.h"

struct tls_client;
struct tls_loop;
struct tls_server;
struct tls_tickets;

enum { TLS_WHY_MAX = 256 };
enum tls_version { TLS_1_2 = 12, TLS_1_3 = 13 };
enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };
enum tls_alpn { TLS_ALPN_NONE, TLS_ALPN_HTTP1, TLS_ALPN_H2 };

/* A certificate with what belongs to it, as PEM (the staple: DER). */
struct tls_pair {
    struct slice certificate; /* with its chain */
    struct slice key;
    struct slice staple; /* an OCSP response; empty: none */
};

/* Why something of TLS could not be made. */
struct tls_fault {
    int pair; /* the one to blame; -1: none of them */
    char why[TLS_WHY_MAX];
};

/* What is doubtful about a pair, to be told where it is configured. */
typedef void tls_warn_fn(void *ctx, int pair, const char *what);

struct tls_server_conf {
    const struct tls_pair *pairs; /* the first of each key type serves those who name no host */
    uint32_t pair_count;
    int min, max;                /* enum tls_version */
    const char *ciphers;         /* of TLS 1.2; NULL: ours */
    const char *suites;          /* of TLS 1.3; NULL: ours */
    const char *curves;          /* NULL: ours */
    bool h2, http1;              /* what ALPN offers */
    struct tls_tickets *tickets; /* outlives it; NULL: no resumption */
    struct slice client_ca;      /* PEM: who may sign clients' certificates */
    int verify;                  /* enum tls_verify */
    bool kernel;                 /* it seals what is sent, where it can */
    uint32_t handshake_ms;       /* kept for the listener's clients */
    tls_warn_fn *warn;
    void *warn_ctx;
};

/* One reference. NULL: *fault says why. */
struct tls_server *tls_server_new(const struct tls_server_conf *conf, struct tls_fault *fault);
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server *s); /* NULL: nothing */
uint32_t tls_server_handshake_ms(const struct tls_server *s);

struct tls_client_conf {
    bool verify;          /* the peer's certificate must be trusted, valid, and its own */
    struct slice ca;      /* PEM: who is trusted to sign; empty: the system's */
    struct slice crl;     /* PEM: what has been revoked; empty: nothing */
    struct slice name;    /* asked for and checked; empty: as tls_connect() says */
    struct tls_pair pair; /* shown to who asks; empty: nothing */
    int min, max;         /* enum tls_version */
    const char *alpn;     /* what is spoken, and must be agreed on; NULL: it goes without saying */
};

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct tls_fault *fault);
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c); /* NULL: nothing */

/* The newest session with a peer, to go on with; zeroed at first. Any thread. */
struct tls_session {
    struct ssl_session_st *_Atomic session;
};
void tls_session_fini(struct tls_session *slot);

/* Keys that tickets are sealed with: made anew every rotate_ms, forgotten after three times that;
 * shared by all threads. */
struct tls_tickets *tls_tickets_new(uint32_t rotate_ms);
void tls_tickets_free(struct tls_tickets *t);

/* A stream just opened becomes encrypted, as the server's end. on_ready is called when the
 * handshake is over: tls_is_open(), or s->error is set and tls_why() tells. */
void tls_accept(struct stream *s, struct tls_server *server);

/* The same as the client's end, while it is connecting or connected. host: whom it is connected to,
 * with or without port. session: outlives the stream; NULL: none is resumed. */
void tls_connect(struct stream *s, struct tls_client *client, const char *host,
                 struct tls_session *session);

bool tls_is_open(const struct stream *s);
/* The handshake has begun and is not over. */
bool tls_is_shaking(const struct stream *s);
/* Why the handshake or the connection failed, for logs; "" if it did not. Valid until the stream is
 * closed. */
const char *tls_why(const struct stream *s);
/* Instead of a handshake the client sent what looks like HTTP. tls_strip() turns the stream into a
 * plain one, with what it sent to be read. */
bool tls_is_http(const struct stream *s);
void tls_strip(struct stream *s);
/* Whom a client's certificate, which has been verified, is of. One allocation. */
struct tls_peer {
    struct slice subject, issuer; /* RFC 4514 */
    struct slice serial;          /* hexadecimal */
    struct slice fingerprint;     /* SHA-256, hexadecimal */
    struct slice certificate;     /* DER in Base64 */
};
/* To be freed; NULL: it has shown none. Once, when the handshake is over. */
struct tls_peer *tls_take_peer(const struct stream *s);

enum tls_alpn tls_alpn(const struct stream *s);
/* What encrypted streams shared, when their loop ends; NULL: nothing. */
void tls_loop_free(struct tls_loop *tl);
bool tls_is_resumed(const struct stream *s);

#endif
