/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "http/date.h"

static void assert_date(const char *text, int64_t expected)
{
    int64_t got = -1;
    if (!date_parse(slice_str(text), &got) || got != expected)
        print_error("%s: %lld, but expected %lld\n", text, (long long)got, (long long)expected);
    assert_true(date_parse(slice_str(text), &got));
    assert_int_equal(got, expected);
}

/* RFC 9110 5.6.7: its three examples */
static void test_all_three_forms_are_read(void **state)
{
    (void)state;
    assert_date("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    assert_date("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    assert_date("Sun Nov  6 08:49:37 1994", 784111777);
    assert_date("Thu Nov 16 08:49:37 2023", 1700124577);
    assert_date("Saturday, 06-Nov-21 08:49:37 GMT", 1636188577);
}

static void test_leap_days_and_seconds(void **state)
{
    (void)state;
    assert_date("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800);
    assert_date("Tue, 29 Feb 2000 00:00:00 GMT", 951782400);
    assert_date("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800);
    int64_t at;
    assert_false(date_parse(SLICE("Wed, 29 Feb 2023 00:00:00 GMT"), &at));
    assert_false(date_parse(SLICE("Thu, 29 Feb 1900 00:00:00 GMT"), &at));
}

static void test_what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nox 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
    };
    int64_t at;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(date_parse(slice_str(bad[i]), &at));
}

static void test_written_dates_are_the_same_as_libc_writes(void **state)
{
    (void)state;
    for (int64_t at = 0; at < INT64_C(7000000000); at += 12345678) {
        char got[DATE_LEN], expected[64];
        time_t t = (time_t)at;
        struct tm tm;
        gmtime_r(&t, &tm);
        size_t n = strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        date_put(got, at);
        assert_int_equal(n, DATE_LEN);
        assert_memory_equal(got, expected, DATE_LEN);
        int64_t back;
        assert_true(date_parse(slice_of(got, DATE_LEN), &back));
        assert_int_equal(back, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_three_forms_are_read),
        cmocka_unit_test(test_leap_days_and_seconds),
        cmocka_unit_test(test_what_is_no_date_is_refused),
        cmocka_unit_test(test_written_dates_are_the_same_as_libc_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
