/* How TLS 1.3 makes one secret of another: HKDF (RFC 5869) with labels (RFC 8446 7.1), over
 * OpenSSL's digests.
 *
 * OpenSSL has this, too, but sets up a MAC by its name, a dozen allocations and as many locks, for
 * each of the 25 secrets of a handshake: more than the hashing costs.
 *
 * Pure: bytes in, bytes out. SPDX-License-Identifier: MIT */
#ifndef NET_TLS_HKDF_H
#define NET_TLS_HKDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { TLS_DIGEST_MAX = 48 };

struct evp_md_ctx_st;

struct tls_digest {
    const char *names[2]; /* as OpenSSL's versions call it */
    uint8_t bytes, block;
    const struct evp_md_st *md;
    unsigned char of_nothing[TLS_DIGEST_MAX];
};

/* One that suites of TLS 1.3 use, by its name; NULL: it is none of them, or OpenSSL lacks it. */
const struct tls_digest *tls_digest_find(const char *name);

/* In all that follows ctx is a scratch context, a thread's. What is written has d->bytes. False:
 * OpenSSL failed, or a size is none that TLS has. */

/* HKDF-Extract, with "derived" of the secret before as its salt (RFC 8446 7.1, the figure).
 * before.n == 0: there is none; key.n == 0: zeros stand for it. */
bool tls_hkdf_next(struct evp_md_ctx_st *ctx, const struct tls_digest *d, struct slice before,
                   struct slice key, unsigned char *out);
/* HKDF-Expand-Label. n: at most d->bytes; the label goes without "tls13 ". */
bool tls_hkdf_expand(struct evp_md_ctx_st *ctx, const struct tls_digest *d, struct slice secret,
                     struct slice label, struct slice context, unsigned char *out, size_t n);

#endif
