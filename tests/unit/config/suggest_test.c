/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/suggest.h"

static const char *nearest(const char *word)
{
    static const char *const names[] = {"backend",  "balance", "keep-alive", "timeout",
                                        "protocol", "retry",   "host",       "on"};
    struct suggest s = suggest_for(slice_str(word));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        suggest_try(&s, names[i]);
    return s.best ? s.best : "-";
}

static void test_typing_errors_find_their_name(void **state)
{
    (void)state;
    assert_string_equal(nearest("blance"), "balance");
    assert_string_equal(nearest("balnace"), "balance");
    assert_string_equal(nearest("backends"), "backend");
    assert_string_equal(nearest("keepalive"), "keep-alive");
    assert_string_equal(nearest("keep_alive"), "keep-alive");
    assert_string_equal(nearest("timeot"), "timeout");
    assert_string_equal(nearest("prot"), "protocol");
    assert_string_equal(nearest("hosts"), "host");
}

static void test_what_is_like_nothing_finds_nothing(void **state)
{
    (void)state;
    assert_string_equal(nearest(""), "-");
    assert_string_equal(nearest("x"), "-");
    assert_string_equal(nearest("fastcgi_pass"), "-");
    assert_string_equal(nearest("a-word-that-is-far-longer-than-any-name-a-table-would-ever-have"),
                        "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typing_errors_find_their_name),
        cmocka_unit_test(test_what_is_like_nothing_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
