/* SPDX-License-Identifier: MIT */
#include "net/tls_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8448 3: the traffic secrets of its simple handshake. */
static const unsigned char client_secret[TLS_SECRET_MAX] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5};
static const unsigned char server_secret[TLS_SECRET_MAX] = {
    0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
    0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43};

/* The client's first record of data, which holds the bytes 0 to 49. */
static const unsigned char client_record[] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
    0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
    0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
    0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
    0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4};

/* Both ends of a connection. */
struct ends {
    struct tls_crypt crypt;
    struct tls_record client, server;
    char wire[2 * TLS_PLAIN_MAX];
    char plain[2 * TLS_PLAIN_MAX];
    size_t n;
    uint8_t alert;
};

static struct ends *ends_new(uint16_t suite)
{
    struct ends *e = calloc(1, sizeof(*e));
    assert_non_null(e);
    tls_crypt_init(&e->crypt);
    size_t n = suite == 0x1302 ? 48 : 32;
    tls_record_take_secret(&e->client.out, client_secret, n);
    tls_record_take_secret(&e->client.in, server_secret, n);
    tls_record_take_secret(&e->server.in, client_secret, n);
    tls_record_take_secret(&e->server.out, server_secret, n);
    assert_true(tls_record_begin(&e->crypt, &e->client, suite));
    assert_true(tls_record_begin(&e->crypt, &e->server, suite));
    return e;
}

static void ends_free(struct ends *e)
{
    tls_crypt_fini(&e->crypt);
    free(e);
}

/* What the server makes of a record of the client. */
static enum tls_opened pass(struct ends *e, enum tls_content type, const void *p, size_t n)
{
    size_t sealed = tls_record_seal(&e->crypt, &e->client, type, p, n, e->wire);
    assert_int_equal(sealed, n + TLS_RECORD_EXTRA);
    struct slice record = slice_of(e->wire, sealed);
    assert_int_equal(tls_record_bytes(record), sealed);
    return tls_record_open(&e->crypt, &e->server, record, e->plain, &e->n, &e->alert);
}

static void test_the_records_of_rfc_8448_are_opened(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    struct slice record = slice_of(client_record, sizeof(client_record));
    for (size_t n = 0; n < TLS_RECORD_HEAD; n++)
        assert_int_equal(tls_record_bytes(slice_first(record, n)), 0);
    for (size_t n = TLS_RECORD_HEAD; n <= sizeof(client_record); n++)
        assert_int_equal(tls_record_bytes(slice_first(record, n)), sizeof(client_record));
    assert_int_equal(tls_record_open(&e->crypt, &e->server, record, e->plain, &e->n, &e->alert),
                     TLS_OPENED_DATA);
    assert_int_equal(e->n, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(e->plain[i], i);
    ends_free(e);
}

static void test_the_records_of_rfc_8448_are_sealed(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    char data[50];
    for (int i = 0; i < 50; i++)
        data[i] = (char)i;
    size_t n = tls_record_seal(&e->crypt, &e->client, TLS_DATA, data, sizeof(data), e->wire);
    assert_int_equal(n, sizeof(client_record));
    assert_memory_equal(e->wire, client_record, n);
    ends_free(e);
}

static void test_every_suite_passes_every_size(void **state)
{
    (void)state;
    static char data[TLS_PLAIN_MAX];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7);
    for (uint16_t suite = 0x1301; suite <= 0x1303; suite++) {
        struct ends *e = ends_new(suite);
        for (size_t n = 0; n <= TLS_PLAIN_MAX; n = n * 2 + 1) {
            assert_int_equal(pass(e, TLS_DATA, data, n), TLS_OPENED_DATA);
            assert_int_equal(e->n, n);
            assert_memory_equal(e->plain, data, n);
        }
        assert_int_equal(pass(e, TLS_DATA, data, TLS_PLAIN_MAX), TLS_OPENED_DATA);
        assert_int_equal(e->n, TLS_PLAIN_MAX);
        ends_free(e);
    }
}

static void test_a_record_is_opened_in_its_own_place(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    size_t sealed = tls_record_seal(&e->crypt, &e->client, TLS_DATA, "in place", 8, e->wire);
    char *to = e->wire + TLS_RECORD_HEAD;
    assert_int_equal(
        tls_record_open(&e->crypt, &e->server, slice_of(e->wire, sealed), to, &e->n, &e->alert),
        TLS_OPENED_DATA);
    assert_int_equal(e->n, 8);
    assert_memory_equal(to, "in place", 8);
    ends_free(e);
}

static void test_every_changed_bit_is_noticed(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < sizeof(client_record) * 8; bit++) {
        if (bit / 8 == 3 || bit / 8 == 4)
            continue; /* another length is another record */
        struct ends *e = ends_new(0x1301);
        memcpy(e->wire, client_record, sizeof(client_record));
        e->wire[bit / 8] = (char)(e->wire[bit / 8] ^ 1 << bit % 8);
        struct slice record = slice_of(e->wire, sizeof(client_record));
        assert_int_equal(tls_record_open(&e->crypt, &e->server, record, e->plain, &e->n, &e->alert),
                         TLS_OPENED_BAD);
        assert_int_equal(e->alert, bit < 8 ? TLS_UNEXPECTED_MESSAGE : TLS_BAD_RECORD_MAC);
        ends_free(e);
    }
}

static void test_a_record_cannot_be_played_again(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    assert_int_equal(pass(e, TLS_DATA, "once", 4), TLS_OPENED_DATA);
    struct slice again = slice_of(e->wire, 4 + TLS_RECORD_EXTRA);
    assert_int_equal(tls_record_open(&e->crypt, &e->server, again, e->plain, &e->n, &e->alert),
                     TLS_OPENED_BAD);
    assert_int_equal(e->alert, TLS_BAD_RECORD_MAC);
    ends_free(e);
}

/* What a record may hold besides data, and what it may not. */
static const struct inner {
    enum tls_content type;
    const char *p;
    size_t n;
    enum tls_opened opened;
    uint8_t alert;
} inners[] = {
    {TLS_DATA, "", 0, TLS_OPENED_DATA, 0},
    {TLS_ALERT, "\1\0", 2, TLS_OPENED_CLOSE, 0},
    {TLS_ALERT, "\2\0", 2, TLS_OPENED_CLOSE, 0},
    {TLS_ALERT, "\2\50", 2, TLS_OPENED_ALERT, 40},
    {TLS_ALERT, "\2", 1, TLS_OPENED_BAD, TLS_DECODE_ERROR},
    {TLS_ALERT, "\1\0\1\0", 4, TLS_OPENED_BAD, TLS_DECODE_ERROR},
    {TLS_HANDSHAKE, "\30\0\0\1\0", 5, TLS_OPENED_NOTHING, 0},
    {TLS_HANDSHAKE, "\30\0\0\1\1", 5, TLS_OPENED_NOTHING, 0},
    {TLS_HANDSHAKE, "\30\0\0\1\2", 5, TLS_OPENED_BAD, 47},
    {TLS_HANDSHAKE, "\30\0\0\1", 4, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {TLS_HANDSHAKE, "\30\0\0\1\0\30\0\0\1\0", 10, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {TLS_HANDSHAKE, "\1\0\0\1\0", 5, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {TLS_HANDSHAKE, "", 0, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {20, "\1", 1, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {99, "x", 1, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE},
    {0, "", 0, TLS_OPENED_BAD, TLS_UNEXPECTED_MESSAGE}, /* padding and nothing else */
    {0, "x\27\0\0", 4, TLS_OPENED_DATA, 0},             /* data in front of padding */
};

static void test_what_a_record_holds_is_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(inners) / sizeof(inners[0]); i++) {
        struct ends *e = ends_new(0x1301);
        const struct inner *c = &inners[i];
        assert_int_equal(pass(e, c->type, c->p, c->n), c->opened);
        if (c->alert)
            assert_int_equal(e->alert, c->alert);
        ends_free(e);
    }
}

/* RFC 8446 4.6.3. */
static void test_keys_change_when_either_end_wants_it(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1303);
    e->client.owes_update = true;
    size_t n = tls_record_seal(&e->crypt, &e->client, TLS_DATA, "new", 3, e->wire);
    assert_int_equal(n, TLS_UPDATE_BYTES + 3 + TLS_RECORD_EXTRA);
    assert_false(e->client.owes_update);
    struct slice wire = slice_of(e->wire, n);
    struct slice first = slice_first(wire, tls_record_bytes(wire));
    assert_int_equal(tls_record_open(&e->crypt, &e->server, first, e->plain, &e->n, &e->alert),
                     TLS_OPENED_NOTHING);
    assert_int_equal(tls_record_open(&e->crypt, &e->server, slice_skip(wire, first.n), e->plain,
                                     &e->n, &e->alert),
                     TLS_OPENED_DATA);
    assert_int_equal(e->n, 3);
    assert_int_equal(pass(e, TLS_DATA, "and on", 6), TLS_OPENED_DATA);
    ends_free(e);
}

static void test_keys_change_before_they_are_worn(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    e->client.out.seq = e->server.in.seq = 1 << 24;
    size_t n = tls_record_seal(&e->crypt, &e->client, TLS_DATA, "x", 1, e->wire);
    assert_int_equal(n, TLS_UPDATE_BYTES + 1 + TLS_RECORD_EXTRA);
    assert_int_equal(e->client.out.seq, 1);
    ends_free(e);
}

static void test_an_update_that_is_asked_for_is_owed(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    tls_record_seal(&e->crypt, &e->client, TLS_HANDSHAKE, "\30\0\0\1\1", 5, e->wire);
    struct slice record = slice_of(e->wire, TLS_UPDATE_BYTES);
    assert_int_equal(tls_record_open(&e->crypt, &e->server, record, e->plain, &e->n, &e->alert),
                     TLS_OPENED_NOTHING);
    assert_true(e->server.owes_update);
    ends_free(e);
}

static void test_records_without_data_come_to_an_end(void **state)
{
    (void)state;
    struct ends *e = ends_new(0x1301);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 32; i++)
            assert_int_equal(pass(e, TLS_DATA, "", 0), TLS_OPENED_DATA);
        if (round == 0)
            assert_int_equal(pass(e, TLS_DATA, "x", 1), TLS_OPENED_DATA);
    }
    assert_int_equal(pass(e, TLS_DATA, "", 0), TLS_OPENED_BAD);
    ends_free(e);
}

static void test_connections_take_turns_at_one_context(void **state)
{
    (void)state;
    struct ends *a = ends_new(0x1301), *b = ends_new(0x1303);
    struct tls_crypt own = b->crypt;
    b->crypt = a->crypt; /* the same contexts */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(pass(a, TLS_DATA, "from a", 6), TLS_OPENED_DATA);
        b->crypt = a->crypt;
        assert_int_equal(pass(b, TLS_DATA, "from b", 6), TLS_OPENED_DATA);
        a->crypt = b->crypt;
    }
    tls_crypt_forget(&a->crypt, &b->client);
    tls_crypt_forget(&a->crypt, &b->server);
    assert_null(a->crypt.sealer);
    assert_null(a->crypt.opener);
    b->crypt = own;
    ends_free(b);
    ends_free(a);
}

static void test_there_is_no_beginning_without_secrets(void **state)
{
    (void)state;
    struct tls_record r = {0};
    struct tls_crypt crypt;
    tls_crypt_init(&crypt);
    assert_false(tls_record_begin(&crypt, &r, 0x1301));
    tls_record_take_secret(&r.in, client_secret, 32);
    assert_false(tls_record_begin(&crypt, &r, 0x1301));
    tls_record_take_secret(&r.out, server_secret, TLS_SECRET_MAX + 1);
    assert_false(tls_record_begin(&crypt, &r, 0x1301));
    tls_record_take_secret(&r.out, server_secret, 32);
    assert_false(tls_record_begin(&crypt, &r, 0x1302)); /* its secrets are longer */
    assert_false(tls_record_begin(&crypt, &r, 0x1304));
    assert_true(tls_record_begin(&crypt, &r, 0x1301));
    tls_crypt_fini(&crypt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_records_of_rfc_8448_are_opened),
        cmocka_unit_test(test_the_records_of_rfc_8448_are_sealed),
        cmocka_unit_test(test_every_suite_passes_every_size),
        cmocka_unit_test(test_a_record_is_opened_in_its_own_place),
        cmocka_unit_test(test_every_changed_bit_is_noticed),
        cmocka_unit_test(test_a_record_cannot_be_played_again),
        cmocka_unit_test(test_what_a_record_holds_is_told_apart),
        cmocka_unit_test(test_keys_change_when_either_end_wants_it),
        cmocka_unit_test(test_keys_change_before_they_are_worn),
        cmocka_unit_test(test_an_update_that_is_asked_for_is_owed),
        cmocka_unit_test(test_records_without_data_come_to_an_end),
        cmocka_unit_test(test_connections_take_turns_at_one_context),
        cmocka_unit_test(test_there_is_no_beginning_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
