/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ring.h"

#include <stdio.h>
#include <string.h>

struct out {
    char text[4096];
    size_t n;
    int lines;
};

static ring_write_fn collect;

static void collect(void *ctx, struct slice s)
{
    struct out *o = ctx;
    assert_true(o->n + s.n < sizeof(o->text));
    memcpy(o->text + o->n, s.p, s.n);
    o->n += s.n;
    o->text[o->n] = '\0';
    o->lines++;
}

static void test_a_dump_is_oldest_first_and_one_line_each(void **state)
{
    (void)state;
    struct ring r;
    struct out o = {.n = 0};
    ring_init(&r, 4);
    ring_dump(&r, 0, collect, &o);
    assert_int_equal(o.lines, 0);
    ring_put(&r, 1000007, 0xc0ffee, "connect", 1, UINT64_MAX);
    ring_put(&r, 2000000, 0, "relay", 0, 0);
    ring_dump(&r, 0, collect, &o);
    assert_string_equal(o.text, "1.000007 0000000000c0ffee connect 1 18446744073709551615\n"
                                "2.000000 0000000000000000 relay 0 0\n");
    ring_fini(&r);
    ring_dump(&r, 0, collect, &o);
    assert_int_equal(o.lines, 2);
}

static void test_only_the_newest_are_kept(void **state)
{
    (void)state;
    struct ring r;
    struct out o = {.n = 0};
    ring_init(&r, 4);
    for (uint64_t i = 0; i < 11; i++)
        ring_put(&r, i, i % 2, "x", i, 0);
    ring_dump(&r, 0, collect, &o);
    assert_int_equal(o.lines, 4);
    assert_ptr_equal(strstr(o.text, "0.000007"), o.text);
    assert_non_null(strstr(o.text, "x 10 0\n"));
    ring_fini(&r);
}

static void test_one_exchange_can_be_picked_out(void **state)
{
    (void)state;
    struct ring r;
    struct out o = {.n = 0};
    ring_init(&r, 16);
    for (uint64_t i = 0; i < 12; i++)
        ring_put(&r, i, i % 3, "x", i, 0);
    ring_dump(&r, 2, collect, &o);
    assert_int_equal(o.lines, 4);
    ring_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dump_is_oldest_first_and_one_line_each),
        cmocka_unit_test(test_only_the_newest_are_kept),
        cmocka_unit_test(test_one_exchange_can_be_picked_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
