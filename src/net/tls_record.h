/* The record layer of TLS 1.3 (RFC 8446 5) once the handshake is over: what seals and opens records
 * with keys that OpenSSL has agreed on.
 *
 * The object that OpenSSL needs for a handshake holds some ten thousand bytes for as long as it
 * lives. A server has no further use for it: from here on a connection is two secrets and two
 * counters, as it is for a kernel that encrypts by itself. Ciphers are OpenSSL's.
 *
 * Pure: bytes in, bytes out. A context for a cipher with a key in it is shared by all connections
 * of a thread (struct tls_crypt), and set up anew when another one had it. SPDX-License-Identifier:
 * MIT */
#ifndef NET_TLS_RECORD_H
#define NET_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

enum {
    TLS_PLAIN_MAX = 16384, /* RFC 8446 5.1 */
    TLS_RECORD_HEAD = 5,
    TLS_RECORD_EXTRA = TLS_RECORD_HEAD + 1 + 16, /* head, type and tag around the plaintext */
    TLS_CIPHER_MAX = TLS_PLAIN_MAX + 256,        /* RFC 8446 5.2 */
    TLS_SECRET_MAX = 48,
    TLS_UPDATE_BYTES = TLS_RECORD_EXTRA + 5, /* a KeyUpdate, sealed */
};

enum tls_content { TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23 };

/* RFC 8446 6: what a peer is told. */
enum tls_alert {
    TLS_CLOSE_NOTIFY = 0,
    TLS_UNEXPECTED_MESSAGE = 10,
    TLS_BAD_RECORD_MAC = 20,
    TLS_RECORD_OVERFLOW = 22,
    TLS_DECODE_ERROR = 50,
    TLS_INTERNAL_ERROR = 80,
};

/* One direction. */
struct tls_half {
    unsigned char secret[TLS_SECRET_MAX];
    unsigned char key[32], iv[12];
    uint8_t secret_bytes; /* 0: none yet */
    uint64_t seq;         /* of the next record */
};

struct tls_record {
    uint16_t suite;       /* RFC 8446 B.4 */
    bool owes_update;     /* the peer has asked for one, before our next data */
    uint8_t idle_records; /* in a row that brought no data */
    struct tls_half in, out;
};

/* A thread's. */
struct tls_crypt {
    struct evp_cipher_ctx_st *seal, *open;
    struct evp_md_ctx_st *digest;           /* scratch */
    const struct tls_half *sealer, *opener; /* whose key is in it; NULL: nobody's */
};

void tls_crypt_init(struct tls_crypt *c);
void tls_crypt_fini(struct tls_crypt *c);
/* Before the memory of a half goes: another may get the same place. */
void tls_crypt_forget(struct tls_crypt *c, const struct tls_record *r);

/* The traffic secret of one direction, as the handshake agreed on it (RFC 8446 7.1). */
void tls_record_take_secret(struct tls_half *h, const void *secret, size_t n);
/* Both secrets are there: makes keys of them. False: the suite is none of ours, or a secret is
 * missing. */
bool tls_record_begin(struct tls_crypt *c, struct tls_record *r, uint16_t suite);

/* Writes a record with n bytes (at most TLS_PLAIN_MAX) at out, where there must be n +
 * TLS_RECORD_EXTRA + TLS_UPDATE_BYTES of room: where the peer has asked for it, or the keys have
 * been used for long, a KeyUpdate goes before. Bytes written; 0: OpenSSL failed. */
size_t tls_record_seal(struct tls_crypt *c, struct tls_record *r, enum tls_content type,
                       const void *p, size_t n, char *out);

/* The sending key has been used for as long as it may be. */
bool tls_record_is_worn(const struct tls_record *r);

/* Bytes of the first record in `in`: 0: more is needed to know. */
size_t tls_record_bytes(struct slice in);
/* The most that its plaintext takes while it is opened. */
size_t tls_record_room(struct slice record);

enum tls_opened {
    TLS_OPENED_DATA,    /* *n bytes at out, maybe none */
    TLS_OPENED_NOTHING, /* it was no data: keys have changed */
    TLS_OPENED_CLOSE,   /* close_notify */
    TLS_OPENED_ALERT,   /* the peer gives up: *alert */
    TLS_OPENED_BAD,     /* *alert: what to tell it */
};
/* Opens one whole record into out, which may be the record itself and has tls_record_room(). */
enum tls_opened tls_record_open(struct tls_crypt *c, struct tls_record *r, struct slice record,
                                char *out, size_t *n, uint8_t *alert);

#endif
