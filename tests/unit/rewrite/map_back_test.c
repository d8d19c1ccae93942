/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory.h"
#include "rewrite/map_back.h"

static const struct mapping mapping = {
    .prefix = SLICE_INIT("/app"),
    .host = SLICE_INIT("app.internal:8080"),
    .backend = SLICE_INIT("10.0.0.1:8080"),
    .scheme = SLICE_INIT("https"),
    .authority = SLICE_INIT("example.org"),
    .is_on = true,
};

struct pair {
    const char *from, *to; /* to NULL: stays */
};

static const struct pair urls[] = {
    {"/x", "/app/x"},
    {"/", "/app/"},
    {"/?a", "/app/?a"},
    {"/app", NULL},
    {"/app/x", NULL},
    {"/app?x", NULL},
    {"/app#x", NULL},
    {"/apple", "/app/apple"},
    {"x", NULL},
    {"../x", NULL},
    {"?x", NULL},
    {"", NULL},
    {"mailto:a@b", NULL},
    {"http://app.internal:8080/x", "https://example.org/app/x"},
    {"HTTP://APP.internal:8080/x", "https://example.org/app/x"},
    {"http://app.internal:8080", "https://example.org/app/"},
    {"http://app.internal:8080?q", "https://example.org/app/?q"},
    {"http://app.internal/x", NULL},
    {"http://10.0.0.1:8080/x", "https://example.org/app/x"},
    {"http://10.0.0.1:8080/app/x", "https://example.org/app/x"},
    {"//app.internal:8080/x", "//example.org/app/x"},
    {"https://example.org/x", "https://example.org/app/x"},
    {"https://example.org:443/x", "https://example.org:443/app/x"},
    {"https://example.org/app/x", NULL},
    {"http://elsewhere.org/x", NULL},
    {"http://app.internal:8080@elsewhere.org/x", NULL},
    {"http://app.internal:8080.elsewhere.org/x", NULL},
    {"http:/x", NULL},
    {"//", NULL},
};

static const struct pair refreshes[] = {
    {"5", NULL},
    {"5; url=/x", "5; url=/app/x"},
    {"5;URL='/x'", "5;URL='/app/x'"},
    {"0; url=\"http://app.internal:8080/x\"; y", "0; url=\"https://example.org/app/x\"; y"},
    {"5; url=x", NULL},
    {"5; uri=/x", NULL},
    {"5;", NULL},
    {";url=/x", ";url=/app/x"},
    {"5; url='/x", "5; url='/app/x"},
};

static const struct pair cookies[] = {
    {"a=b", NULL},
    {"a=b; Path=/", "a=b; Path=/app"},
    {"a=b; path=/x; HttpOnly", "a=b; Path=/app/x; HttpOnly"},
    {"a=b; Path=/app", NULL},
    {"a=b; Path=/app/x; Secure", NULL},
    {"a=/; Path=x", NULL},
    {"a=b; Domain=app.internal; Path=/", "a=b; Path=/app"},
    {"a=b; Domain=.internal", "a=b"},
    {"a=b; Domain=example.org", NULL},
    {"a=b; Domain=elsewhere.org", NULL},
    {"__Host-a=b; Path=/; Secure", NULL},
    {"a=b;", NULL},
    {"", NULL},
    {";", NULL},
    {"a=b; Path=/"
     ";;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;",
     NULL},
};

typedef struct slice map_fn(const struct mapping *m, struct slice value, struct arena *a);

static void check(map_fn *map, const struct mapping *m, const struct pair *p)
{
    struct memory memory;
    struct arena *a = memory_init(&memory);
    assert_slice(map(m, slice_str(p->from), a), p->to ? p->to : p->from);
    memory_fini(&memory);
}

static void test_urls_of_the_backend_become_the_clients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        check(map_back_url, &mapping, &urls[i]);
}

static void test_a_name_is_the_backends_at_its_own_port_too(void **state)
{
    (void)state;
    struct mapping m = mapping;
    m.host = SLICE("app.internal");
    static const struct pair cases[] = {
        {"http://app.internal/x", "https://example.org/app/x"},
        {"http://app.internal:8080/x", "https://example.org/app/x"},
        {"http://APP.internal:8080/x", "https://example.org/app/x"},
        {"//app.internal:8080/x", "//example.org/app/x"},
        {"http://app.internal:8081/x", NULL},
        {"http://other.internal:8080/x", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(map_back_url, &m, &cases[i]);
    m.backend = SLICE("unix:/run/app.sock");
    check(map_back_url, &m, &(struct pair){"http://app.internal:8080/x", NULL});
}

static void test_refresh_is_mapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refreshes) / sizeof(refreshes[0]); i++)
        check(map_back_refresh, &mapping, &refreshes[i]);
}

static void test_cookies_are_mapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++)
        check(map_back_cookie, &mapping, &cookies[i]);
}

static void test_what_was_put_before_the_path_comes_off(void **state)
{
    (void)state;
    const struct mapping m = {.prepended = SLICE_INIT("/base"), .is_on = true};
    static const struct pair cases[] = {
        {"/base/x", "/x"},
        {"/base", "/"},
        {"/base?x", "/?x"},
        {"/basement", NULL},
        {"/x", NULL},
        {"/base//evil.example", "/evil.example"}, /* no other host by that */
        {"/base/\\evil.example", "/evil.example"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(map_back_url, &m, &cases[i]);
}

static void test_cookies_get_the_flags_they_lack(void **state)
{
    (void)state;
    const struct mapping m = {.cookie_flags = SLICE_INIT("; Secure; HttpOnly; SameSite=Lax")};
    static const struct pair cases[] = {
        {"a=b", "a=b; Secure; HttpOnly; SameSite=Lax"},
        {"a=b; Path=/", "a=b; Path=/; Secure; HttpOnly; SameSite=Lax"},
        {"a=b; samesite=None; secure", "a=b; samesite=None; secure; HttpOnly"},
        {"Secure=b", "Secure=b; Secure; HttpOnly; SameSite=Lax"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(map_back_cookie, &m, &cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_of_the_backend_become_the_clients),
        cmocka_unit_test(test_a_name_is_the_backends_at_its_own_port_too),
        cmocka_unit_test(test_refresh_is_mapped),
        cmocka_unit_test(test_cookies_are_mapped),
        cmocka_unit_test(test_what_was_put_before_the_path_comes_off),
        cmocka_unit_test(test_cookies_get_the_flags_they_lack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
