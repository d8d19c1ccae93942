/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/num.h"

#include <stdio.h>

typedef bool parse_fn(struct slice s, uint64_t *out);

static const struct num_case {
    parse_fn *parse;
    const char *text;
    bool ok;
    uint64_t value;
} cases[] = {
    {num_dec, "0", true, 0},
    {num_dec, "007", true, 7},
    {num_dec, "18446744073709551615", true, UINT64_MAX},
    {num_dec, "18446744073709551616", false, 0},
    {num_dec, "99999999999999999999999", false, 0},
    {num_dec, "", false, 0},
    {num_dec, "-1", false, 0},
    {num_dec, "+1", false, 0},
    {num_dec, " 1", false, 0},
    {num_dec, "1 ", false, 0},
    {num_dec, "1a", false, 0},
    {num_dec, "0x1", false, 0},
    {num_dec, "1,1", false, 0},
    {num_dec, "1.0", false, 0},
    {num_dec, "\xd9\xa1", false, 0}, /* ARABIC-INDIC DIGIT ONE */
    {num_hex, "ffffffffffffffff", true, UINT64_MAX},
    {num_hex, "FfFf", true, 0xffff},
    {num_hex, "0000000000000000000000000a", true, 10},
    {num_hex, "10000000000000000", false, 0},
    {num_hex, "0x10", false, 0},
    {num_hex, "g", false, 0},
    {num_hex, "", false, 0},
    {num_size, "0", true, 0},
    {num_size, "512", true, 512},
    {num_size, "64k", true, 65536},
    {num_size, "10M", true, 10485760},
    {num_size, "2g", true, 2147483648},
    {num_size, "17179869183g", true, UINT64_MAX - ((1u << 30) - 1)},
    {num_size, "17179869184g", false, 0},
    {num_size, "k", false, 0},
    {num_size, "1kk", false, 0},
    {num_size, "1.5k", false, 0},
    {num_size, "1 k", false, 0},
    {num_size, "-1k", false, 0},
    {num_size, "", false, 0},
    {num_ms, "0", true, 0},
    {num_ms, "250ms", true, 250},
    {num_ms, "10s", true, 10000},
    {num_ms, "5m", true, 300000},
    {num_ms, "1h", true, 3600000},
    {num_ms, "2d", true, 172800000},
    {num_ms, "10", false, 0},
    {num_ms, "ms", false, 0},
    {num_ms, "1sm", false, 0},
    {num_ms, "1 s", false, 0},
    {num_ms, "18446744073709551615s", false, 0},
    {num_ms, "", false, 0},
};

static void test_a_number_is_the_whole_slice_or_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct num_case *c = &cases[i];
        uint64_t v = 4711;
        bool ok = c->parse(slice_str(c->text), &v);
        if (ok != c->ok || (ok && v != c->value))
            fail_msg("\"%s\": %d %llu", c->text, ok, (unsigned long long)v);
    }
}

static void test_a_nul_is_no_end(void **state)
{
    (void)state;
    uint64_t v;
    assert_false(num_dec(SLICE("12\0"), &v));
    assert_false(num_dec(SLICE("1\0"
                               "2"),
                         &v));
}

static void test_written_numbers_read_back(void **state)
{
    (void)state;
    char out[32], expected[32];
    for (unsigned bit = 0; bit <= 64; bit++) {
        uint64_t base = bit == 64 ? 0 : (uint64_t)1 << bit;
        for (uint64_t v = base - 1; v != base + 2; v++) {
            uint64_t back;
            size_t n = num_put_dec(out, v);
            assert_true(n <= NUM_DEC_MAX);
            snprintf(expected, sizeof(expected), "%llu", (unsigned long long)v);
            assert_true(slice_eq(slice_of(out, n), slice_str(expected)));
            assert_true(num_dec(slice_of(out, n), &back) && back == v);
            n = num_put_hex(out, v);
            assert_true(n <= NUM_HEX_MAX);
            assert_true(num_hex(slice_of(out, n), &back) && back == v);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number_is_the_whole_slice_or_nothing),
        cmocka_unit_test(test_a_nul_is_no_end),
        cmocka_unit_test(test_written_numbers_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
