/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "admin/cli_remote.h"
#include "base/hist.h"

static void test_words_in_paths_are_encoded(void **state)
{
    (void)state;
    char path[CLI_PATH_MAX];
    cli_put_path(path, "/pools/", "app", NULL, NULL);
    assert_string_equal(path, "/pools/app");
    cli_put_path(path, "/pools/", "a/b c?", "/backends/", "unix:/run/x.sock");
    assert_string_equal(path, "/pools/a%2Fb%20c%3F/backends/unix%3A%2Frun%2Fx.sock");
    cli_put_path(path, "/pools/", "p\xc3\xb6\r\n", "/backends/", "[::1]:80");
    assert_string_equal(path, "/pools/p%C3%B6%0D%0A/backends/%5B%3A%3A1%5D%3A80");
}

static void test_long_words_are_cut_and_never_overrun(void **state)
{
    (void)state;
    char path[CLI_PATH_MAX], word[CLI_PATH_MAX * 2];
    memset(word, '/', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    cli_put_path(path, "/pools/", word, "/backends/", word);
    assert_int_equal(strlen(path), CLI_PATH_MAX / 2);
}

static void test_values_are_found_by_path(void **state)
{
    (void)state;
    json_t *json = json_pack("{s:{s:{s:i}, s:s}}", "a", "b", "c", 7, "text", "x");
    assert_int_equal(json_number_at(json, "a.b.c"), 7);
    assert_string_equal(json_text_at(json, "a.text"), "x");
    assert_int_equal(json_number_at(json, "a.b.d"), 0);
    assert_int_equal(json_number_at(json, "x.y.z"), 0);
    assert_string_equal(json_text_at(json, "a.b"), "");
    assert_string_equal(json_text_at(NULL, "a"), "");
    json_decref(json);
}

static void test_histograms_come_back_as_they_were(void **state)
{
    (void)state;
    struct hist_sum sum;
    json_t *buckets = json_array();
    for (uint32_t i = 0; i < HIST_BUCKETS; i += 7)
        json_array_append_new(buckets,
                              json_pack("[I, i]", (json_int_t)hist_upper_us(i), (int)i + 1));
    json_array_append_new(buckets, json_pack("[n, i]", 3));
    json_t *json = json_pack("{s:i, s:i, s:o}", "count", 5, "sum_us", 99, "buckets", buckets);
    json_read_hist(json, &sum);
    for (uint32_t i = 0; i + 1 < HIST_BUCKETS; i++)
        assert_int_equal(sum.buckets[i], i % 7 ? 0 : i + 1);
    assert_int_equal(sum.buckets[HIST_BUCKETS - 1], 3);
    assert_int_equal(sum.count, 5);
    assert_int_equal(sum.sum_us, 99);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_in_paths_are_encoded),
        cmocka_unit_test(test_long_words_are_cut_and_never_overrun),
        cmocka_unit_test(test_values_are_found_by_path),
        cmocka_unit_test(test_histograms_come_back_as_they_were),
    };
    return cmocka_run_group_tests_name("cli_remote", tests, NULL, NULL);
}
