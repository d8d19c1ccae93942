/* The PROXY protocol: heads fed whole and cut at every byte, and what is written read again.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "codec/proxy_head.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define A4 "\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00\x50"
#define A6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"         \
    "\x10\x00\x00\x50"

struct row {
    const char *note;
    struct slice bytes;
    enum parse verdict;
    const char *says; /* "client server"; NULL: not known */
};

/* clang-format off */
#define ROW(note, bytes, verdict, says) {note, SLICE_INIT(bytes), verdict, says}
static const struct row rows[] = {
    ROW("v1, IPv4", "PROXY TCP4 1.2.3.4 5.6.7.8 4096 80\r\n", PARSE_DONE, "1.2.3.4:4096 5.6.7.8:80"),
    ROW("v1, IPv6", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", PARSE_DONE, "2001:db8::1:1 ::1:65535"),
    ROW("v1, unknown", "PROXY UNKNOWN\r\n", PARSE_DONE, NULL),
    ROW("v1, unknown with words", "PROXY UNKNOWN a b c\r\n", PARSE_DONE, NULL),
    ROW("v1, port 0", "PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", PARSE_DONE, "1.2.3.4:0 5.6.7.8:0"),
    ROW("v1, another protocol", "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, in lower case", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, two spaces", "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, space at the end", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", PARSE_BAD, NULL),
    ROW("v1, a word too much", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", PARSE_BAD, NULL),
    ROW("v1, a word too few", "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", PARSE_BAD, NULL),
    ROW("v1, nothing", "PROXY \r\n", PARSE_BAD, NULL),
    ROW("v1, bare LF", "PROXY UNKNOWN\n", PARSE_BAD, NULL),
    ROW("v1, leading zero in a port", "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", PARSE_BAD, NULL),
    ROW("v1, port too large", "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", PARSE_BAD, NULL),
    ROW("v1, signed port", "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, address of another family", "PROXY TCP4 ::1 ::1 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, address with a NUL", "PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, octet too large", "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", PARSE_BAD, NULL),
    ROW("v1, too long", "PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", PARSE_BAD, NULL),
    ROW("v2, IPv4", V2 "\x21\x11\0\x0c" A4, PARSE_DONE, "1.2.3.4:4096 5.6.7.8:80"),
    ROW("v2, IPv6", V2 "\x21\x21\0\x24" A6, PARSE_DONE, "2001:db8::1:4096 2001:db8::2:80"),
    ROW("v2, local", V2 "\x20\0\0\0", PARSE_DONE, NULL),
    ROW("v2, local with addresses", V2 "\x20\x11\0\x0c" A4, PARSE_DONE, NULL),
    ROW("v2, of no family", V2 "\x21\0\0\x03\x04\0\0", PARSE_DONE, NULL),
    ROW("v2, UDP", V2 "\x21\x12\0\x0c" A4, PARSE_DONE, NULL),
    ROW("v2, with a value", V2 "\x21\x11\0\x10" A4 "\xea\0\x01z", PARSE_DONE, "1.2.3.4:4096 5.6.7.8:80"),
    ROW("v2, with padding", V2 "\x21\x11\0\x11" A4 "\x04\0\x02\0\0", PARSE_DONE, "1.2.3.4:4096 5.6.7.8:80"),
    ROW("v2, checksum that is right", V2 "\x21\x11\0\x13" A4 "\x03\0\x04\xff\x6e\xf0\x1a", PARSE_DONE,
        "1.2.3.4:4096 5.6.7.8:80"),
    ROW("v2, checksum that is not", V2 "\x21\x11\0\x13" A4 "\x03\0\x04\0\0\0\0", PARSE_BAD, NULL),
    ROW("v2, checksum of a wrong length", V2 "\x21\x11\0\x11" A4 "\x03\0\x02\0\0", PARSE_BAD, NULL),
    ROW("v2, value that does not fit", V2 "\x21\x11\0\x10" A4 "\xea\0\x02z", PARSE_BAD, NULL),
    ROW("v2, cut value", V2 "\x21\x11\0\x0e" A4 "\xea\0", PARSE_BAD, NULL),
    ROW("v2, addresses that do not fit", V2 "\x21\x11\0\x0b" "\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00", PARSE_BAD, NULL),
    ROW("v2, IPv6 as short as IPv4", V2 "\x21\x21\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, version 1", V2 "\x11\x11\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, version 3", V2 "\x31\x11\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, unknown command", V2 "\x22\x11\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, unknown family", V2 "\x21\x41\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, unknown protocol", V2 "\x21\x13\0\x0c" A4, PARSE_BAD, NULL),
    ROW("v2, too large", V2 "\x21\x11\xff\xff", PARSE_BAD, NULL),
    ROW("v2, start that is almost one", "\r\n\r\n\0\r\nQUIT\r", PARSE_BAD, NULL),
    ROW("HTTP", "GET / HTTP/1.1\r\n\r\n", PARSE_BAD, NULL),
    ROW("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PARSE_BAD, NULL),
    ROW("TLS", "\x16\x03\x01\x02\x00\x01\x00", PARSE_BAD, NULL),
};
/* clang-format on */

static void put(char *text, size_t room, const struct sockaddr_storage *sa)
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in4 = (const void *)sa;
    const struct sockaddr_in6 *in6 = (const void *)sa;
    bool is_v4 = sa->ss_family == AF_INET;
    inet_ntop(sa->ss_family, is_v4 ? (const void *)&in4->sin_addr : &in6->sin6_addr, host,
              sizeof(host));
    snprintf(text, room, "%s:%u", host, ntohs(is_v4 ? in4->sin_port : in6->sin6_port));
}

static void assert_says(const struct proxy_head *head, const char *says)
{
    char client[64], server[64], both[160];
    assert_int_equal(head->is_known, says != NULL);
    if (!says)
        return;
    put(client, sizeof(client), &head->client);
    put(server, sizeof(server), &head->server);
    snprintf(both, sizeof(both), "%s %s", client, server);
    assert_string_equal(both, says);
}

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_head head;
        struct fault f;
        size_t taken;
        enum parse verdict = proxy_head_parse(rows[i].bytes, &head, &taken, &f);
        if (verdict != rows[i].verdict)
            print_error("%s: %d\n", rows[i].note, verdict);
        assert_int_equal(verdict, rows[i].verdict);
        if (verdict != PARSE_DONE)
            continue;
        assert_int_equal(taken, rows[i].bytes.n);
        assert_says(&head, rows[i].says);
    }
}

/* A part of a good head is waited for; of a bad one, at most until it is seen to be bad. */
static void test_heads_cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t n = 0; n < rows[i].bytes.n; n++) {
            char copy[256]; /* so that a read behind it is noticed */
            struct proxy_head head;
            struct fault f;
            size_t taken;
            memcpy(copy, rows[i].bytes.p, n);
            enum parse verdict = proxy_head_parse(slice_of(copy, n), &head, &taken, &f);
            if (rows[i].verdict == PARSE_DONE)
                assert_int_equal(verdict, PARSE_MORE);
            else
                assert_int_not_equal(verdict, PARSE_DONE);
        }
}

static void test_what_follows_is_left(void **state)
{
    (void)state;
    struct proxy_head head;
    struct fault f;
    size_t taken;
    struct slice bytes = SLICE("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n");
    assert_int_equal(proxy_head_parse(bytes, &head, &taken, &f), PARSE_DONE);
    assert_int_equal(taken, 15);
}

static void test_what_is_written_is_read_again(void **state)
{
    (void)state;
    static const char *const wanted[] = {"1.2.3.4:4096 5.6.7.8:80",
                                         "2001:db8::1:4096 2001:db8::2:80",
                                         "::ffff:1.2.3.4:4096 2001:db8::2:80"};
    struct proxy_head four, six, head;
    struct fault f;
    size_t taken;
    char bytes[PROXY_PUT_MAX];
    assert_int_equal(proxy_head_parse(SLICE(V2 "\x21\x11\0\x0c" A4), &four, &taken, &f),
                     PARSE_DONE);
    assert_int_equal(proxy_head_parse(SLICE(V2 "\x21\x21\0\x24" A6), &six, &taken, &f), PARSE_DONE);
    for (int version = 1; version <= 2; version++)
        for (int i = 0; i < 4; i++) {
            const struct sockaddr *client =
                i == 3 ? NULL : (const void *)(i == 1 ? &six.client : &four.client);
            const struct sockaddr *server = (const void *)(i == 0 ? &four.server : &six.server);
            size_t n = proxy_head_put(bytes, version, client, server);
            assert_true(n <= PROXY_PUT_MAX);
            assert_int_equal(proxy_head_parse(slice_of(bytes, n), &head, &taken, &f), PARSE_DONE);
            assert_int_equal(taken, n);
            assert_says(&head, i == 3 ? NULL : wanted[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_heads_cut_anywhere),
        cmocka_unit_test(test_what_follows_is_left),
        cmocka_unit_test(test_what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
