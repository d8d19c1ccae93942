/* SPDX-License-Identifier: MIT */
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "net/tls_cert.h"
#include "net/tls_internal.h"

enum { NAME_MAX_BYTES = 1024, SERIAL_MAX_BYTES = 64, DIGEST_HEX = 64 };

static void put_hex(struct text *t, const unsigned char *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        text_char(t, digits[p[i] >> 4]);
        text_char(t, digits[p[i] & 15]);
    }
}

static void put_serial(struct text *t, const X509 *x)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    if (hex)
        text_put(t, slice_str(hex));
    OPENSSL_free(hex);
    BN_free(number);
}

static void put_fingerprint(struct text *t, const X509 *x)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(x, EVP_sha256(), digest, &n) == 1)
        put_hex(t, digest, n);
}

/* What cannot stand in a field's value becomes a question mark. */
static void put_name(struct text *t, const X509_NAME *name)
{
    char text[NAME_MAX_BYTES];
    tls_put_name(text, sizeof(text), name);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    text_put(t, slice_str(text));
}

/* The text that has been written since. */
static struct slice since(const struct text *t, const char *start)
{
    return slice_of(start, (size_t)(t->p - start));
}

static struct tls_peer *make(const X509 *x, const unsigned char *der, size_t n)
{
    size_t room = 2 * NAME_MAX_BYTES + SERIAL_MAX_BYTES + DIGEST_HEX + (n + 2) / 3 * 4 + 1;
    struct tls_peer *peer = mem_zalloc(sizeof(*peer) + room);
    struct text t = text_of((char *)(peer + 1), room);
    const char *start = t.p;
    put_name(&t, X509_get_subject_name(x));
    peer->subject = since(&t, start);
    start = t.p;
    put_name(&t, X509_get_issuer_name(x));
    peer->issuer = since(&t, start);
    start = t.p;
    put_serial(&t, x);
    peer->serial = since(&t, start);
    start = t.p;
    put_fingerprint(&t, x);
    peer->fingerprint = since(&t, start);
    start = t.p;
    t.p += EVP_EncodeBlock((unsigned char *)t.p, der, (int)n);
    peer->certificate = since(&t, start);
    return peer;
}

struct tls_peer *tls_make_peer(const SSL *ssl)
{
    const X509 *x = SSL_get0_peer_certificate(ssl);
    unsigned char *der = NULL;
    int n = x ? i2d_X509(x, &der) : 0;
    struct tls_peer *peer = n > 0 ? make(x, der, (size_t)n) : NULL;
    OPENSSL_free(der);
    return peer;
}
