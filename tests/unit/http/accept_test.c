/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/accept.h"

enum { SHUN = 1 }; /* identity's weight where nothing is said of it */

struct row {
    const char *value;
    uint16_t br, gzip, identity;
};

/* clang-format off */
static const struct row rows[] = {
    {"gzip", 0, 1000, SHUN},
    {"br, gzip", 1000, 1000, SHUN},
    {"GZIP", 0, 1000, SHUN},
    {"x-gzip", 0, 1000, SHUN},
    {"gzip, deflate, br, zstd", 1000, 1000, SHUN},
    {"br;q=1.0, gzip;q=0.8, *;q=0.1", 1000, 800, SHUN},
    {"br;q=0.5,gzip;q=0.25", 500, 250, SHUN},
    {"br;q=0.123 , gzip;q=1", 123, 1000, SHUN},
    {"br \t;\t q=0.1,gzip", 100, 1000, SHUN},
    {"br;Q=0.3", 300, 0, SHUN},
    {"gzip;q=0", 0, 0, SHUN},
    {"gzip;q=0.000", 0, 0, SHUN},
    {"gzip;q=1.000", 0, 1000, SHUN},
    {"gzip;q=0.", 0, 0, SHUN},
    {"*", 1000, 1000, SHUN},
    {"*;q=0", 0, 0, 0},
    {"*;q=0, gzip", 0, 1000, 0},
    {"gzip, *;q=0, identity;q=0.5", 0, 1000, 500},
    {"identity", 0, 0, 1000},
    {"identity;q=0, gzip;q=0.2", 0, 200, 0},
    {"identity;q=0.5, gzip;q=0.2", 0, 200, 500},
    {"gzip;q=0.3, gzip;q=0.9", 0, 300, SHUN},
    {"gzip,,br", 1000, 1000, SHUN},
    {", gzip ,", 0, 1000, SHUN},
    {"gzip,,,,,,, ,,,br", 1000, 1000, SHUN},
    {",,,", 0, 0, SHUN},
    {"", 0, 0, SHUN},
    {",", 0, 0, SHUN},
    {"compress, pack200", 0, 0, SHUN},
    /* what does not follow the grammar asks for nothing */
    {"gzip;q=2", 0, 0, SHUN},
    {"gzip;q=1.001", 0, 0, SHUN},
    {"gzip;q=0.1234", 0, 0, SHUN},
    {"gzip;q=-1", 0, 0, SHUN},
    {"gzip;q=", 0, 0, SHUN},
    {"gzip;q", 0, 0, SHUN},
    {"gzip;", 0, 0, SHUN},
    {"gzip; level=3", 0, 0, SHUN},
    {"gzip;q=0.5;q=0.5", 0, 0, SHUN},
    {"gzip br", 0, 0, SHUN},
    {";q=1", 0, 0, SHUN},
    {"gzip, \"br\"", 0, 0, SHUN},
    {"gzip, br/x", 0, 0, SHUN},
    {"gzip;q =1", 0, 0, SHUN},
    {"gzip\x80", 0, 0, SHUN},
};
/* clang-format on */

static struct accept ask(struct fields *fields)
{
    static const struct slice names[] = {SLICE_INIT("br"), SLICE_INIT("gzip")};
    struct accept a = {.names = names, .n = 2};
    accept_encoding(&a, fields);
    return a;
}

static void test_weights_of_one_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        size_t n = strlen(row->value);
        char *exact = malloc(n ? n : 1); /* a byte read beyond it is found by the sanitizer */
        memcpy(exact, row->value, n);
        struct field line = {.value = slice_of(exact, n), .id = FIELD_ACCEPT_ENCODING};
        struct fields fields = {.v = &line, .n = 1, .seen = UINT64_C(1) << FIELD_ACCEPT_ENCODING};
        struct accept a = ask(&fields);
        free(exact);
        if (a.weight[0] != row->br || a.weight[1] != row->gzip || a.identity != row->identity)
            print_error("'%s': br %u gzip %u identity %u\n", row->value, a.weight[0], a.weight[1],
                        a.identity);
        assert_int_equal(a.weight[0], row->br);
        assert_int_equal(a.weight[1], row->gzip);
        assert_int_equal(a.identity, row->identity);
    }
}

static void test_lines_count_together(void **state)
{
    (void)state;
    struct field lines[] = {{.value = SLICE("gzip;q=0.5"), .id = FIELD_ACCEPT_ENCODING},
                            {.value = SLICE("*"), .id = FIELD_ACCEPT},
                            {.value = SLICE("br"), .id = FIELD_ACCEPT_ENCODING}};
    struct fields fields = {.v = lines, .n = 3, .seen = UINT64_C(1) << FIELD_ACCEPT_ENCODING};
    struct accept a = ask(&fields);
    assert_int_equal(a.weight[0], 1000);
    assert_int_equal(a.weight[1], 500);
}

static void test_a_missing_field_asks_for_nothing(void **state)
{
    (void)state;
    struct fields fields = {0};
    struct accept a = ask(&fields);
    assert_int_equal(a.weight[0], 0);
    assert_int_equal(a.weight[1], 0);
    assert_int_equal(a.identity, SHUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_of_one_line),
        cmocka_unit_test(test_lines_count_together),
        cmocka_unit_test(test_a_missing_field_asks_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
