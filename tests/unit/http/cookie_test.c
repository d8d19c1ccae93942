/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/cookie.h"

/* RFC 6265 4.2.1 */
static const struct {
    const char *line, *name, *value; /* NULL: not there */
} cases[] = {
    {"a=b", "a", "b"},         {"a=b; c=d", "c", "d"},
    {"a=b;c=d", "c", "d"},     {"a=b;  c=d  ; e=f", "c", "d"},
    {"a=", "a", ""},           {"a=b=c", "a", "b=c"},
    {"a=\"b\"", "a", "\"b\""}, {"a=1; a=2", "a", "1"},
    {"a=b", "A", NULL},        {"aa=b", "a", NULL},
    {"a", "a", NULL},          {"=b", "a", NULL},
    {"", "a", NULL},           {";;; a=b", "a", "b"},
    {"x; a=b", "a", "b"},
};

static void test_cookies_are_found(void **state)
{
    (void)state;
    struct buf_pool pool;
    struct arena arena;
    buf_pool_init(&pool, 0);
    arena_init(&arena, &pool);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fields fields = {0};
        struct slice value = SLICE_NONE;
        fields_add(&fields, &arena, FIELD_OTHER, SLICE("Other"), SLICE("a=no"));
        fields_add(&fields, &arena, FIELD_COOKIE, SLICE("Cookie"), SLICE("z=first line"));
        fields_add(&fields, &arena, FIELD_COOKIE, SLICE("Cookie"), slice_str(cases[i].line));
        bool found = cookie_find(&fields, slice_str(cases[i].name), &value);
        if (found != (cases[i].value != NULL) ||
            (found && !slice_eq(value, slice_str(cases[i].value))))
            fail_msg("%s in \"%s\": " SLICE_FMT, cases[i].name, cases[i].line, SLICE_ARG(value));
        fields_drop(&fields, FIELD_COOKIE);
        assert_false(cookie_find(&fields, slice_str(cases[i].name), &value));
    }
    arena_fini(&arena);
    buf_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
