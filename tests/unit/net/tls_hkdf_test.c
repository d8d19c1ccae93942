/* SPDX-License-Identifier: MIT */
#include "net/tls_hkdf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/tls_provider.h"

static struct slice bytes(const unsigned char *p, size_t n)
{
    return slice_of((const char *)p, n);
}

/* RFC 8448 3, the server's side. */
static const unsigned char early[] = {
    0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
    0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a};
static const unsigned char shared[] = {
    0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63, 0xfd, 0xfb, 0xac, 0xf9, 0xf0, 0x4b, 0x9f, 0x0d,
    0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75, 0x63, 0xef, 0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d};
static const unsigned char handshake[] = {
    0x1d, 0xc8, 0x26, 0xe9, 0x36, 0x06, 0xaa, 0x6f, 0xdc, 0x0a, 0xad, 0xc1, 0x2f, 0x74, 0x1b, 0x01,
    0x04, 0x6a, 0xa6, 0xb9, 0x9f, 0x69, 0x1e, 0xd2, 0x21, 0xa9, 0xf0, 0xca, 0x04, 0x3f, 0xbe, 0xac};
static const unsigned char master[] = {
    0x18, 0xdf, 0x06, 0x84, 0x3d, 0x13, 0xa0, 0x8b, 0xf2, 0xa4, 0x49, 0x84, 0x4c, 0x5f, 0x8a, 0x47,
    0x80, 0x01, 0xbc, 0x4d, 0x4c, 0x62, 0x79, 0x84, 0xd5, 0xa4, 0x1d, 0xa8, 0xd0, 0x40, 0x29, 0x19};

static void test_the_secrets_of_rfc_8448_follow_from_each_other(void **state)
{
    (void)state;
    const struct tls_digest *d = tls_digest_find("SHA256");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char out[TLS_DIGEST_MAX];
    assert_non_null(d);
    assert_true(tls_hkdf_next(ctx, d, SLICE_NONE, SLICE_NONE, out));
    assert_memory_equal(out, early, sizeof(early));
    assert_true(tls_hkdf_next(ctx, d, bytes(early, 32), bytes(shared, 32), out));
    assert_memory_equal(out, handshake, sizeof(handshake));
    assert_true(tls_hkdf_next(ctx, d, bytes(handshake, 32), SLICE_NONE, out));
    assert_memory_equal(out, master, sizeof(master));
    EVP_MD_CTX_free(ctx);
}

/* ---- what OpenSSL's own says ---- */

struct question {
    const char *digest;
    int mode;
    struct slice key, salt, data;
    const char *label;
    size_t n;
};

static size_t put_bytes(OSSL_PARAM *p, const char *name, struct slice s)
{
    if (!s.n)
        return 0;
    *p = OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)s.p, s.n);
    return 1;
}

/* As libssl asks. */
static int ask(const char *query, const struct question *q, unsigned char *out)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, query);
    assert_non_null(kdf);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    assert_non_null(ctx);
    int mode = q->mode;
    OSSL_PARAM params[8], *p = params;
    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)q->digest, 0);
    p += put_bytes(p, OSSL_KDF_PARAM_KEY, q->key);
    p += put_bytes(p, OSSL_KDF_PARAM_SALT, q->salt);
    p += put_bytes(p, OSSL_KDF_PARAM_PREFIX, SLICE("tls13 "));
    p += put_bytes(p, OSSL_KDF_PARAM_LABEL, slice_str(q->label));
    p += put_bytes(p, OSSL_KDF_PARAM_DATA, q->data);
    *p = OSSL_PARAM_construct_end();
    int rc = EVP_KDF_derive(ctx, out, q->n, params);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return rc;
}

static void check_same(const struct question *q)
{
    unsigned char ours[TLS_DIGEST_MAX], theirs[TLS_DIGEST_MAX];
    assert_int_equal(ask("provider=default", q, theirs), 1);
    assert_int_equal(ask(tls_provider_query(), q, ours), 1);
    assert_memory_equal(ours, theirs, q->n);
}

static void test_the_provider_says_what_openssl_says(void **state)
{
    (void)state;
    static const char *const labels[] = {"c hs traffic", "s ap traffic", "exp master", "finished",
                                         "key",          "iv",           "traffic upd"};
    static const struct {
        const char *name;
        size_t n;
    } digests[] = {{"SHA2-256", 32}, {"SHA384", 48}};
    assert_non_null(tls_provider_query());
    for (size_t i = 0; i < 2; i++) {
        struct slice long_one = bytes(early, 32),
                     secret = slice_of("0123456789abcdef0123456789abcdef"
                                       "0123456789abcdef",
                                       digests[i].n);
        struct question q = {.digest = digests[i].name,
                             .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                             .label = "derived",
                             .n = digests[i].n};
        check_same(&q);
        q.salt = secret;
        check_same(&q);
        q.key = long_one;
        check_same(&q);
        q = (struct question){
            .digest = digests[i].name, .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .key = secret};
        for (size_t j = 0; j < sizeof(labels) / sizeof(labels[0]); j++)
            for (int has_data = 0; has_data < 2; has_data++) {
                q.label = labels[j];
                q.data = has_data ? secret : SLICE_NONE;
                for (q.n = 1; q.n <= digests[i].n; q.n++)
                    check_same(&q);
            }
    }
}

static void test_what_is_no_key_schedule_is_refused(void **state)
{
    (void)state;
    unsigned char out[2 * TLS_DIGEST_MAX];
    const struct question good = {.digest = "SHA256",
                                  .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                                  .key = bytes(early, 32),
                                  .label = "key",
                                  .n = 16};
    assert_int_equal(ask(tls_provider_query(), &good, out), 1);
    struct question q = good;
    q.digest = "SHA512";
    assert_int_not_equal(ask(tls_provider_query(), &q, out), 1);
    q = good;
    q.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    assert_int_not_equal(ask(tls_provider_query(), &q, out), 1);
    q = good;
    q.n = 33;
    assert_int_not_equal(ask(tls_provider_query(), &q, out), 1);
    q.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY; /* of another length, and with another label */
    assert_int_not_equal(ask(tls_provider_query(), &q, out), 1);
    q.n = 32;
    assert_int_not_equal(ask(tls_provider_query(), &q, out), 1);
    q.label = "derived";
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
}

static void test_traffic_secrets_are_told_to_who_asked_for_them(void **state)
{
    (void)state;
    struct tls_crypt crypt;
    struct tls_record r = {0};
    unsigned char out[TLS_DIGEST_MAX];
    struct question q = {.digest = "SHA256",
                         .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                         .key = bytes(early, 32),
                         .label = "c ap traffic",
                         .n = 32};
    tls_crypt_init(&crypt);
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
    assert_int_equal(r.in.secret_bytes, 0);
    tls_provider_tell(&crypt, &r);
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
    assert_int_equal(r.in.secret_bytes, 32);
    assert_memory_equal(r.in.secret, out, 32);
    assert_int_equal(r.out.secret_bytes, 0);
    q.label = "s hs traffic";
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
    assert_int_equal(r.out.secret_bytes, 0);
    q.label = "s ap traffic";
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
    assert_memory_equal(r.out.secret, out, 32);
    tls_provider_tell(NULL, NULL);
    q.key = bytes(shared, 32);
    unsigned char kept[32];
    memcpy(kept, out, sizeof(kept));
    assert_int_equal(ask(tls_provider_query(), &q, out), 1);
    assert_memory_equal(r.out.secret, kept, sizeof(kept));
    tls_crypt_fini(&crypt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_secrets_of_rfc_8448_follow_from_each_other),
        cmocka_unit_test(test_the_provider_says_what_openssl_says),
        cmocka_unit_test(test_what_is_no_key_schedule_is_refused),
        cmocka_unit_test(test_traffic_secrets_are_told_to_who_asked_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
