/* SPDX-License-Identifier: MIT */
#include "net/tls_provider.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>

#include "net/tls_hkdf.h"

static const char provider_name[] = "sluice", query[] = "?provider=sluice";

/* OpenSSL calls its providers without saying for which connection. */
static _Thread_local struct tls_crypt *crypt_now;
static _Thread_local struct tls_record *record_now;

void tls_provider_tell(struct tls_crypt *c, struct tls_record *r)
{
    crypt_now = r ? c : NULL;
    record_now = r;
}

/* ---- the KDF ---- */

static bool get_bytes(const OSSL_PARAM params[], const char *key, struct slice *to)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, key);
    const void *at = NULL;
    size_t n = 0;
    *to = SLICE_NONE;
    if (!p)
        return true;
    if (OSSL_PARAM_get_octet_string_ptr(p, &at, &n) != 1)
        return false;
    *to = slice_of(at, n);
    return true;
}

static const struct tls_digest *get_digest(const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);
    const char *name;
    return p && OSSL_PARAM_get_utf8_string_ptr(p, &name) == 1 ? tls_digest_find(name) : NULL;
}

static int get_mode(const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE);
    int mode;
    return p && OSSL_PARAM_get_int(p, &mode) == 1 ? mode : -1;
}

/* Of the application's traffic (RFC 8446 7.1): the client's is what we open with. */
static void tell(struct slice label, const unsigned char *secret, size_t n)
{
    if (!record_now)
        return;
    if (slice_eq(label, SLICE("c ap traffic")))
        tls_record_take_secret(&record_now->in, secret, n);
    else if (slice_eq(label, SLICE("s ap traffic")))
        tls_record_take_secret(&record_now->out, secret, n);
}

static bool derive_with(EVP_MD_CTX *ctx, const OSSL_PARAM params[], unsigned char *out, size_t n)
{
    const struct tls_digest *d = get_digest(params);
    struct slice prefix, label, key, salt, data;
    if (!d || !get_bytes(params, OSSL_KDF_PARAM_PREFIX, &prefix) ||
        !get_bytes(params, OSSL_KDF_PARAM_LABEL, &label) ||
        !get_bytes(params, OSSL_KDF_PARAM_KEY, &key) ||
        !get_bytes(params, OSSL_KDF_PARAM_SALT, &salt) ||
        !get_bytes(params, OSSL_KDF_PARAM_DATA, &data) || !slice_eq(prefix, SLICE("tls13 ")))
        return false;
    switch (get_mode(params)) {
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return n == d->bytes && slice_eq(label, SLICE("derived")) &&
               tls_hkdf_next(ctx, d, salt, key, out);
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        if (!tls_hkdf_expand(ctx, d, key, label, data, out, n))
            return false;
        tell(label, out, n);
        return true;
    }
    return false;
}

static int kdf_derive(void *kdf, unsigned char *out, size_t n, const OSSL_PARAM params[])
{
    (void)kdf;
    EVP_MD_CTX *ctx = crypt_now ? crypt_now->digest : EVP_MD_CTX_new();
    bool ok = ctx && params && derive_with(ctx, params, out, n);
    if (!crypt_now)
        EVP_MD_CTX_free(ctx);
    return ok;
}

/* It has no state: all it works with comes with each call. */
static void *kdf_new(void *provider)
{
    return provider;
}

static void kdf_free(void *kdf)
{
    (void)kdf;
}

/* ---- the provider ---- */

static const OSSL_DISPATCH kdf_functions[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))kdf_new},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))kdf_derive},
    {0, NULL},
};

static const OSSL_ALGORITHM kdfs[] = {
    {OSSL_KDF_NAME_TLS1_3_KDF, "provider=sluice", kdf_functions, "the key schedule of TLS 1.3"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *get_algorithms(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))get_algorithms},
    {0, NULL},
};

static OSSL_provider_init_fn init_provider;

static int init_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provider)
{
    (void)in;
    *out = provider_functions;
    *provider = (void *)(uintptr_t)handle;
    return 1;
}

static OSSL_PROVIDER *loaded; /* for as long as the process lives; NULL: it cannot be */

/* The providers that are there by default, or by the system's configuration, stay. */
static void load(void)
{
    if (OSSL_PROVIDER_add_builtin(NULL, provider_name, init_provider) == 1)
        loaded = OSSL_PROVIDER_try_load(NULL, provider_name, 1);
}

const char *tls_provider_query(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return loaded ? query : NULL;
}
