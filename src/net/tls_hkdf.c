/* SPDX-License-Identifier: MIT */
#include "net/tls_hkdf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

enum { BLOCK_MAX = 128, LABEL_MAX = 249 };

static struct tls_digest digests[] = {
    {.names = {"SHA2-256", "SHA256"}, .bytes = 32, .block = 64},
    {.names = {"SHA2-384", "SHA384"}, .bytes = 48, .block = 128},
};

enum { DIGESTS = sizeof(digests) / sizeof(digests[0]) };

static void fetch_all(void)
{
    for (size_t i = 0; i < DIGESTS; i++) {
        struct tls_digest *d = &digests[i];
        EVP_MD *md = EVP_MD_fetch(NULL, d->names[0], NULL);
        if (md && EVP_Digest("", 0, d->of_nothing, NULL, md, NULL) == 1)
            d->md = md;
    }
}

const struct tls_digest *tls_digest_find(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_all);
    for (size_t i = 0; i < DIGESTS; i++)
        if (strcasecmp(name, digests[i].names[0]) == 0 ||
            strcasecmp(name, digests[i].names[1]) == 0)
            return digests[i].md ? &digests[i] : NULL;
    return NULL;
}

static bool hash(EVP_MD_CTX *ctx, const struct tls_digest *d, const unsigned char *block,
                 struct slice text, unsigned char *out)
{
    return EVP_DigestInit_ex(ctx, d->md, NULL) == 1 &&
           EVP_DigestUpdate(ctx, block, d->block) == 1 &&
           (!text.n || EVP_DigestUpdate(ctx, text.p, text.n) == 1) &&
           EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

/* RFC 2104; out may be the text. A key is a secret or a salt: never longer than a block. */
static bool hmac(EVP_MD_CTX *ctx, const struct tls_digest *d, struct slice key, struct slice text,
                 unsigned char *out)
{
    unsigned char block[BLOCK_MAX] = {0}, inner[TLS_DIGEST_MAX];
    if (key.n > d->block)
        return false;
    memcpy(block, key.p, key.n);
    for (size_t i = 0; i < d->block; i++)
        block[i] ^= 0x36;
    bool ok = hash(ctx, d, block, text, inner);
    for (size_t i = 0; i < d->block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    ok = ok && hash(ctx, d, block, slice_of((const char *)inner, d->bytes), out);
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(inner, sizeof(inner));
    return ok;
}

static struct slice bytes_of(const unsigned char *p, size_t n)
{
    return slice_of((const char *)p, n);
}

bool tls_hkdf_expand(EVP_MD_CTX *ctx, const struct tls_digest *d, struct slice secret,
                     struct slice label, struct slice context, unsigned char *out, size_t n)
{
    static const struct slice prefix = SLICE_INIT("tls13 ");
    unsigned char info[4 + LABEL_MAX + 6 + TLS_DIGEST_MAX + 1], full[TLS_DIGEST_MAX];
    if (n > d->bytes || label.n > LABEL_MAX || context.n > TLS_DIGEST_MAX)
        return false;
    unsigned char *p = info;
    *p++ = 0;
    *p++ = (unsigned char)n;
    *p++ = (unsigned char)(prefix.n + label.n);
    memcpy(p, prefix.p, prefix.n);
    memcpy(p + prefix.n, label.p, label.n);
    p += prefix.n + label.n;
    *p++ = (unsigned char)context.n;
    if (context.n)
        memcpy(p, context.p, context.n);
    p += context.n;
    *p++ = 1; /* the first and only block of HKDF-Expand */
    bool ok = hmac(ctx, d, secret, bytes_of(info, (size_t)(p - info)), full);
    if (ok)
        memcpy(out, full, n);
    OPENSSL_cleanse(full, sizeof(full));
    return ok;
}

bool tls_hkdf_next(EVP_MD_CTX *ctx, const struct tls_digest *d, struct slice before,
                   struct slice key, unsigned char *out)
{
    static const unsigned char zeros[TLS_DIGEST_MAX];
    unsigned char salt[TLS_DIGEST_MAX] = {0};
    if (before.n && !tls_hkdf_expand(ctx, d, before, SLICE("derived"),
                                     bytes_of(d->of_nothing, d->bytes), salt, d->bytes))
        return false;
    bool ok = hmac(ctx, d, bytes_of(salt, d->bytes), key.n ? key : bytes_of(zeros, d->bytes), out);
    OPENSSL_cleanse(salt, sizeof(salt));
    return ok;
}
