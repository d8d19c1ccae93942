/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "config/address.h"

/* An address as text again, so that a case is one line. */
static const char *show(const struct address *a)
{
    static char text[256];
    char ip[INET6_ADDRSTRLEN];
    if (a->kind == ADDRESS_FD) {
        snprintf(text, sizeof(text), "fd %d", a->fd);
    } else if (a->kind == ADDRESS_UNIX) {
        snprintf(text, sizeof(text), "unix %s", ((const struct sockaddr_un *)&a->sa)->sun_path);
    } else if (a->sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
        snprintf(text, sizeof(text), "4 %s %u", ip, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->sa;
        inet_ntop(AF_INET6, &in->sin6_addr, ip, sizeof(ip));
        snprintf(text, sizeof(text), "%s %s %u", a->dual ? "dual" : "6", ip, ntohs(in->sin6_port));
    }
    return text;
}

static void test_listen_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *means; /* means NULL: refused */
    } cases[] = {
        {"8080", "dual :: 8080"},
        {":8080", "dual :: 8080"},
        {"*:80", "dual :: 80"},
        {"0", "dual :: 0"},
        {"127.0.0.1:8080", "4 127.0.0.1 8080"},
        {"0.0.0.0:80", "4 0.0.0.0 80"},
        {"localhost:81", "4 127.0.0.1 81"},
        {"[::1]:8080", "6 ::1 8080"},
        {"[::]:80", "6 :: 80"},
        {"unix:/run/x.sock", "unix /run/x.sock"},
        {"unix:x", "unix x"},
        {"fd:3", "fd 3"},
        {"", NULL},
        {"65536", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:x", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:99999", NULL},
        {"256.0.0.1:80", NULL},
        {"::1:80", NULL},
        {"[::1]", NULL},
        {"[::1", NULL},
        {"[::1]80", NULL},
        {"[::g]:80", NULL},
        {"[127.0.0.1]:80", NULL},
        {"example.org:80", NULL},
        {"unix:", NULL},
        {"fd:", NULL},
        {"fd:-1", NULL},
        {"unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
         "0123456789012345678901234567890123456789",
         NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address a;
        const char *why = address_parse_listen(slice_str(cases[i].text), &a);
        if (!cases[i].means) {
            assert_non_null(why);
            continue;
        }
        assert_null(why);
        assert_string_equal(show(&a), cases[i].means);
    }
}

static void test_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *path;
        bool ok;
    } cases[] = {
        {"a:80", "a", 80, "", true},
        {"a", "a", 0, "", true},
        {"app_1.internal:8080", "app_1.internal", 8080, "", true},
        {"10.0.0.1:1", "10.0.0.1", 1, "", true},
        {"[::1]:9", "::1", 9, "", true},
        {"[::1]", "::1", 0, "", true},
        {"unix:/x", "", 0, "/x", true},
        {"unix:", "", 0, "", false},
        {"", "", 0, "", false},
        {":80", "", 0, "", false},
        {"a:0", "", 0, "", false},
        {"a:", "", 0, "", false},
        {"a:b:1", "", 0, "", false},
        {"a/b:1", "", 0, "", false},
        {"user@a:1", "", 0, "", false},
        {"-a:1", "", 0, "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct endpoint e;
        const char *why = endpoint_parse(slice_str(cases[i].text), &e);
        assert_int_equal(!why, cases[i].ok);
        if (why)
            continue;
        assert_true(slice_eq(e.host, slice_str(cases[i].host)));
        assert_true(slice_eq(e.path, slice_str(cases[i].path)));
        assert_int_equal(e.port, cases[i].port);
    }
}

static bool has(const char *net, const char *client)
{
    struct cidr c;
    struct address a = {0};
    char text[80];
    assert_null(cidr_parse(slice_str(net), &c));
    snprintf(text, sizeof(text), strchr(client, ':') ? "[%s]:1" : "%s:1", client);
    assert_null(address_parse_listen(slice_str(text), &a));
    return cidr_has(&c, (struct sockaddr *)&a.sa);
}

static void test_networks_hold_their_addresses(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.1.2"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.0.0.0/8", "::ffff:10.1.1.1")); /* a client of a dual listener */
    assert_true(has("0.0.0.0/0", "1.2.3.4"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("192.0.2.128/25", "192.0.2.129"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.6"));
    assert_true(has("fd00::/8", "fd12::1"));
    assert_false(has("fd00::/8", "fe80::1"));
    assert_true(has("::1", "::1"));
}

static void test_unix_is_a_network_of_its_own(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct cidr local, all;
    assert_null(cidr_parse(SLICE("unix"), &local));
    assert_null(cidr_parse(SLICE("::/0"), &all));
    assert_true(cidr_has(&local, (struct sockaddr *)&un));
    assert_false(cidr_has(&all, (struct sockaddr *)&un));
    assert_false(cidr_has(&local, NULL));
    assert_false(has("unix", "127.0.0.1"));
}

static void test_bad_networks_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "x",         "10.0.0.0/",   "10.0.0.0/33",
                                      "::1/129", "10.0.0/8",  "10.0.0.0/8 ", "/8",
                                      "::1/-1",  "10.0.0.0/x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cidr c;
        assert_non_null(cidr_parse(slice_str(bad[i]), &c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_addresses),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_networks_hold_their_addresses),
        cmocka_unit_test(test_unix_is_a_network_of_its_own),
        cmocka_unit_test(test_bad_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
