/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/forwarded.h"

struct row {
    const char *value;
    int n; /* -1: refused */
    const char *v[4];
};

/* clang-format off */
static const struct row rows[] = {
    {"for=192.0.2.43", 1, {"192.0.2.43"}},
    {"For=192.0.2.43;proto=http;by=203.0.113.43", 1, {"192.0.2.43"}},
    {"for=\"_gazonk\"", 1, {"_gazonk"}},
    {"For=\"[2001:db8:cafe::17]:4711\"", 1, {"[2001:db8:cafe::17]:4711"}},
    {"for=192.0.2.43, for=198.51.100.17", 2, {"192.0.2.43", "198.51.100.17"}},
    {"for=a;host=x,by=b,for=unknown", 3, {"a", "", "unknown"}},
    {"proto=https;for=a", 1, {"a"}},
    {"for=\"a,b;for=c\"", 1, {"a,b;for=c"}},
    {"for=\"\\\"\"", 1, {"\\\""}},
    {",for=a,,for=b,", 2, {"a", "b"}},
    {"for=a;;proto=x;", 1, {"a"}},
    {"for=a ; proto=x", 1, {"a"}},
    {"for=\"\"", 1, {""}},
    {"", 0, {0}},
    {"for", -1, {0}},
    {"for=", -1, {0}},
    {"=a", -1, {0}},
    {"for=a b", -1, {0}},
    {"for=a;for=b", -1, {0}},
    {"for=[::1]", -1, {0}},       /* needs quotes */
    {"for=1.2.3.4:80", -1, {0}},  /* the same */
    {"for=\"a", -1, {0}},
    {"for=\"a\"b", -1, {0}},
    {"for = a", -1, {0}},
    {"for=a\x01", -1, {0}},
};
/* clang-format on */

static void test_the_nodes_of_a_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].value);
        char *exact = malloc(n ? n : 1);
        struct forwarded f;
        memcpy(exact, rows[i].value, n);
        bool ok = forwarded_parse(slice_of(exact, n), &f);
        if (ok != (rows[i].n >= 0))
            print_error("%s\n", rows[i].value);
        assert_int_equal(ok, rows[i].n >= 0);
        for (int k = 0; k < rows[i].n; k++)
            assert_true(slice_eq(f.v[k], slice_str(rows[i].v[k])));
        assert_true(!ok || (int)f.n == rows[i].n);
        free(exact);
    }
}

static void test_of_too_many_the_last_are_kept(void **state)
{
    (void)state;
    char text[4096] = "for=first";
    struct forwarded f;
    for (int i = 0; i < 100; i++)
        strcat(text, ",for=x");
    strcat(text, ",for=last");
    assert_true(forwarded_parse(slice_str(text), &f));
    assert_int_equal(f.n, FORWARDED_MAX);
    assert_true(slice_eq(f.v[0], SLICE("x")));
    assert_true(slice_eq(f.v[FORWARDED_MAX - 1], SLICE("last")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_nodes_of_a_line),
        cmocka_unit_test(test_of_too_many_the_last_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
