/* Who a request comes from, behind proxies that are trusted and others.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/asker.h"

static const struct {
    const char *peer, *trusted;
    const char *lists[3]; /* X-Forwarded-For, a line each */
    const char *asker;
} rows[] = {
    {"192.0.2.1", "", {"10.1.1.1"}, "192.0.2.1"}, /* trusts nobody */
    {"192.0.2.1", "10.0.0.0/8", {"10.1.1.1"}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {NULL}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1"}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {"198.51.100.7, 192.0.2.1"}, "192.0.2.1"}, /* a lie in front */
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1, 10.9.9.9"}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1", "10.9.9.9,10.8.8.8"}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {"10.1.1.1, 10.9.9.9"}, "10.1.1.1"}, /* all of them */
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1,", " ,\t, "}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {""}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1, unknown"}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1, _hidden, 10.2.2.2"}, "10.2.2.2"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1:8080"}, "192.0.2.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2"}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"192.0.2.1 10.0.0.3"}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"2001:db8::7"}, "2001:db8::7"},
    {"10.0.0.1", "10.0.0.0/8", {"[2001:db8::7]:80"}, "2001:db8::7"},
    {"10.0.0.1", "10.0.0.0/8", {"[2001:db8::7"}, "10.0.0.1"},
    {"10.0.0.1", "10.0.0.0/8", {"fe80::1%lo"}, "10.0.0.1"}, /* no asking the kernel for names */
    {"10.0.0.1", "10.0.0.0/8", {"::ffff:10.2.2.2, ::ffff:192.0.2.1"}, "192.0.2.1"},
    {"::ffff:10.0.0.1", "10.0.0.0/8", {"192.0.2.1"}, "192.0.2.1"},
    {"2001:db8::1", "2001:db8::/64", {"192.0.2.9"}, "192.0.2.9"},
};

static struct net_addr literal(const char *text)
{
    struct net_addr a;
    assert_true(net_addr_literal(slice_str(text), 4711, &a));
    return a;
}

static void test_the_last_that_is_no_trusted_proxy_asks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena arena;
        struct buf_pool bufs;
        buf_pool_init(&bufs, 4);
        arena_init(&arena, &bufs);
        struct fields fields = {0};
        struct cidr net;
        struct net_addr peer = literal(rows[i].peer), asker;
        bool trusts = rows[i].trusted[0];
        if (trusts)
            assert_null(cidr_parse(slice_str(rows[i].trusted), &net));
        for (size_t k = 0; k < 3 && rows[i].lists[k]; k++)
            fields_add(&fields, &arena, FIELD_X_FORWARDED_FOR, SLICE("X-Forwarded-For"),
                       slice_str(rows[i].lists[k]));
        const struct trusted_proxies trusted = {&net, trusts, false};
        asker_find(&peer.sa, &fields, &trusted, &asker);
        char buf[NET_ADDR_TEXT_MAX];
        struct text t = text_of(buf, sizeof(buf) - 1);
        net_addr_put_host(&t, &asker);
        *t.p = '\0';
        if (strcmp(buf, rows[i].asker) != 0)
            fail_msg("row %zu: %s, not %s", i, buf, rows[i].asker);
        arena_fini(&arena);
        buf_pool_fini(&bufs);
    }
}

static void test_a_unix_socket_may_be_a_trusted_proxy(void **state)
{
    (void)state;
    struct cidr net;
    struct net_addr asker;
    const struct sockaddr_un peer = {.sun_family = AF_UNIX};
    const struct fields none = {0};
    assert_null(cidr_parse(SLICE("unix"), &net));
    const struct trusted_proxies trusted = {&net, 1, false};
    asker_find((const struct sockaddr *)&peer, &none, &trusted, &asker);
    assert_int_equal(asker.sa.sa_family, AF_UNIX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_that_is_no_trusted_proxy_asks),
        cmocka_unit_test(test_a_unix_socket_may_be_a_trusted_proxy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
