/* SPDX-License-Identifier: MIT */
#include "net/tls_kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8448 3: what its ends send application data with. */
static const unsigned char client_secret[TLS_SECRET_MAX] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const unsigned char server_secret[TLS_SECRET_MAX] = {
    0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
    0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};

static void test_the_key_of_rfc_8448_is_described_byte_for_byte(void **state)
{
    (void)state;
    static const unsigned char expected[] = {
        0x04, 0x03, 51,   0,                             /* version, cipher */
        0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84,  /* iv */
        0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef,  /* key */
        0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56,  /* its rest */
        0xcf, 0x78, 0x2b, 0x88,                          /* salt */
        0,    0,    0,    0,    0,    0,    0x01, 0x02}; /* the next record */
    struct tls_record r = {0};
    struct tls_crypt crypt;
    tls_crypt_init(&crypt);
    tls_record_take_secret(&r.in, client_secret, 32);
    tls_record_take_secret(&r.out, server_secret, 32);
    assert_true(tls_record_begin(&crypt, &r, 0x1301));
    tls_crypt_fini(&crypt);
    r.out.seq = 0x102;
    union tls_kernel_info info;
    assert_int_equal(tls_kernel_describe(&r, &info), sizeof(expected));
    assert_memory_equal(&info, expected, sizeof(expected));
}

/* A key of 0, 1, 2..., a nonce of 100, 101, 102... */
static struct tls_record counted(uint16_t suite)
{
    struct tls_record r = {.suite = suite};
    for (size_t i = 0; i < sizeof(r.out.key); i++)
        r.out.key[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(r.out.iv); i++)
        r.out.iv[i] = (unsigned char)(100 + i);
    r.out.seq = UINT64_C(0x0102030405060708);
    return r;
}

/* Pieces of such a description, in their order. */
static size_t put_run(unsigned char *p, unsigned from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(from + i);
    return n;
}

static void test_aes_256_has_a_salt_and_a_longer_key(void **state)
{
    (void)state;
    unsigned char expected[56] = {0x04, 0x03, 52, 0};
    size_t n = 4;
    n += put_run(expected + n, 104, 8);
    n += put_run(expected + n, 0, 32);
    n += put_run(expected + n, 100, 4);
    n += put_run(expected + n, 1, 8);
    struct tls_record r = counted(0x1302);
    union tls_kernel_info info;
    assert_int_equal(n, sizeof(expected));
    assert_int_equal(tls_kernel_describe(&r, &info), n);
    assert_memory_equal(&info, expected, n);
}

static void test_chacha20_has_its_nonce_in_one_piece(void **state)
{
    (void)state;
    unsigned char expected[56] = {0x04, 0x03, 54, 0};
    size_t n = 4;
    n += put_run(expected + n, 100, 12);
    n += put_run(expected + n, 0, 32);
    n += put_run(expected + n, 1, 8);
    struct tls_record r = counted(0x1303);
    union tls_kernel_info info;
    assert_int_equal(n, sizeof(expected));
    assert_int_equal(tls_kernel_describe(&r, &info), n);
    assert_memory_equal(&info, expected, n);
}

static void test_another_suite_is_not_described(void **state)
{
    (void)state;
    struct tls_record r = counted(0x1304);
    union tls_kernel_info info;
    assert_int_equal(tls_kernel_describe(&r, &info), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_key_of_rfc_8448_is_described_byte_for_byte),
        cmocka_unit_test(test_aes_256_has_a_salt_and_a_longer_key),
        cmocka_unit_test(test_chacha20_has_its_nonce_in_one_piece),
        cmocka_unit_test(test_another_suite_is_not_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
