/* A certificate with its chain, its key and an OCSP response: read from the contents of files,
 * checked, and asked for its names.
 * SPDX-License-Identifier: MIT */
#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

#include <openssl/ssl.h>
#include <time.h>

#include "net/tls.h"

struct tls_cert {
    X509 *leaf;
    STACK_OF(X509) * chain; /* what is sent behind it */
    EVP_PKEY *key;
    char **names; /* of hosts, in lower case; "*." in front stands for one label */
    uint32_t name_count;
    struct slice staple; /* DER; empty: none */
    time_t staple_until; /* not to be used any more; 0: no such time */
};

/* NULL: fault->why says what is wrong. */
struct tls_cert *tls_cert_new(const struct tls_pair *pair, struct tls_fault *fault);
void tls_cert_free(struct tls_cert *c);
/* Says if it is out of date, or soon will be, or its chain is none. */
void tls_cert_doubt(const struct tls_cert *c, int pair, tls_warn_fn *warn, void *ctx);
bool tls_cert_use(const struct tls_cert *c, SSL_CTX *ctx);

/* All certificates of a PEM text. NULL: there is none, or one is broken. */
STACK_OF(X509) * tls_read_certificates(struct slice pem);
EVP_PKEY *tls_read_key(struct slice pem);

/* Writes a name as RFC 4514 has it: CN=a,O=b. */
void tls_put_name(char *to, size_t room, const X509_NAME *name);

#endif
