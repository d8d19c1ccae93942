/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"

#include <stdio.h>
#include <string.h>

static struct {
    char text[65536];
    size_t n;
    int lines;
    int64_t wall_us;
} out;

static log_write_fn collect;
static log_clock_fn fake_time;

static void collect(void *ctx, enum log_level level, struct slice line)
{
    (void)ctx;
    (void)level;
    assert_true(line.n <= LOG_LINE_MAX);
    assert_int_equal(line.p[line.n - 1], '\n');
    assert_null(memchr(line.p, '\n', line.n - 1));
    memcpy(out.text + out.n, line.p, line.n);
    out.n += line.n;
    out.text[out.n] = '\0';
    out.lines++;
}

static int64_t fake_time(void)
{
    return out.wall_us;
}

static const struct log_sink text_sink = {.write = collect, .wall_us = fake_time};
static const struct log_sink json_sink = {
    .write = collect, .wall_us = fake_time, .format = LOG_JSON};

/* A day later each time, so that no test meets repetitions of the one before. */
static void begin(const struct log_sink *sink)
{
    log_set_sink(NULL);
    log_set_level(LEVEL_INFO);
    out.n = 0;
    out.text[0] = '\0';
    out.wall_us += 86400000000;
    log_set_sink(sink);
    log_summarise(true);
    out.n = 0;
    out.lines = 0;
}

static void test_a_line_has_time_level_id_and_message(void **state)
{
    (void)state;
    begin(&text_sink);
    out.wall_us = 1783168496789123;
    log_warn(0xc0ffee01, "backend %s refused: %s", "10.0.0.9:80", "no");
    log_error(0, "no id");
    assert_string_equal(
        out.text, "2026-07-04T12:34:56.789Z warn [00000000c0ffee01] backend 10.0.0.9:80 refused: "
                  "no\n2026-07-04T12:34:56.789Z error no id\n");
}

static void test_json_is_one_object_per_line(void **state)
{
    (void)state;
    begin(&json_sink);
    out.wall_us = 1783168496789123;
    log_info(1, "say \"%s\"\n", "x");
    log_info(0, "y");
    assert_string_equal(out.text,
                        "{\"time\":\"2026-07-04T12:34:56.789Z\",\"level\":\"info\","
                        "\"id\":\"0000000000000001\",\"message\":\"say \\\"x\\\"\\u000a\"}\n"
                        "{\"time\":\"2026-07-04T12:34:56.789Z\",\"level\":\"info\","
                        "\"message\":\"y\"}\n");
}

/* Whoever can put a line feed into a message could forge lines. */
static void test_a_message_cannot_forge_lines(void **state)
{
    (void)state;
    begin(&text_sink);
    log_error(0, "bad field \"%s\"", "x\n2026-01-01 error forged\x1b[2J");
    assert_int_equal(out.lines, 1);
    assert_non_null(strstr(out.text, "\\\"x\\x0a2026-01-01 error forged\\x1b[2J\\\""));
}

static void test_long_messages_are_cut_to_a_whole_line(void **state)
{
    (void)state;
    static char big[LOG_LINE_MAX * 2];
    memset(big, '"', sizeof(big) - 1);
    begin(&text_sink);
    log_error(1, "%s", big);
    assert_int_equal(out.lines, 1);
    begin(&json_sink);
    log_error(1, "%s", big);
    assert_int_equal(out.lines, 1);
    assert_memory_equal(out.text + out.n - 3, "\"}\n", 3);
}

static void test_levels_above_the_set_one_are_silent(void **state)
{
    (void)state;
    begin(&text_sink);
    log_set_level(LEVEL_WARN);
    assert_true(log_enabled(LEVEL_ERROR));
    assert_false(log_enabled(LEVEL_INFO));
    log_info(0, "x");
    log_debug(0, "x");
    assert_int_equal(out.lines, 0);
    log_warn(0, "x");
    assert_int_equal(out.lines, 1);
    log_set_sink(NULL);
    log_error(0, "nowhere");
    assert_int_equal(out.lines, 1);
}

static void test_level_names_read_back(void **state)
{
    (void)state;
    for (enum log_level l = LEVEL_ERROR; l <= LEVEL_DEBUG; l++) {
        enum log_level back;
        assert_true(log_level_parse(slice_str(log_level_name(l)), &back));
        assert_int_equal(back, l);
    }
    enum log_level back;
    assert_false(log_level_parse(SLICE("loud"), &back));
    assert_false(log_level_parse(SLICE_NONE, &back));
}

static void flood(int count)
{
    for (int i = 0; i < count; i++)
        log_error((uint64_t)i + 1, "cannot connect to %d", i);
}

static void test_a_flood_is_counted_and_summed_up(void **state)
{
    (void)state;
    begin(&text_sink);
    flood(1000);
    assert_int_equal(out.lines, LOG_BURST);
    log_error(0, "another message is not held back");
    assert_int_equal(out.lines, LOG_BURST + 1);
    log_summarise(false); /* still going on */
    assert_int_equal(out.lines, LOG_BURST + 1);
    out.wall_us += 1000000;
    flood(3);
    assert_int_equal(out.lines, LOG_BURST + 1 + 1 + 3);
    assert_non_null(
        strstr(out.text, "error 980 more like this were left out: cannot connect to *\n"));
}

static void test_what_an_application_says_may_be_much(void **state)
{
    (void)state;
    begin(&text_sink);
    for (int i = 0; i < LOG_SAID_BURST + 5; i++) {
        out.n = 0; /* all of it would not fit */
        log_said(LEVEL_INFO, 0, "pool %.*s [%d] %s", 3, "app", 7, "hello");
    }
    assert_int_equal(out.lines, LOG_SAID_BURST);
    log_summarise(true);
    assert_non_null(strstr(out.text, "5 more like this were left out: pool * [*] *\n"));
}

static void test_the_end_of_a_flood_is_told_without_another_message(void **state)
{
    (void)state;
    begin(&text_sink);
    flood(LOG_BURST + 5);
    out.wall_us += 1000000;
    log_summarise(false);
    assert_int_equal(out.lines, LOG_BURST + 1);
    assert_non_null(strstr(out.text, " 5 more like this"));
    log_summarise(true);
    assert_int_equal(out.lines, LOG_BURST + 1);
    flood(LOG_BURST + 7);
    log_summarise(true);
    assert_non_null(strstr(out.text, " 7 more like this"));
}

static void test_debugging_leaves_nothing_out(void **state)
{
    (void)state;
    begin(&text_sink);
    log_set_level(LEVEL_DEBUG);
    for (int i = 0; i < 100; i++)
        log_debug(0, "step %d", i);
    assert_int_equal(out.lines, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_has_time_level_id_and_message),
        cmocka_unit_test(test_json_is_one_object_per_line),
        cmocka_unit_test(test_a_message_cannot_forge_lines),
        cmocka_unit_test(test_long_messages_are_cut_to_a_whole_line),
        cmocka_unit_test(test_levels_above_the_set_one_are_silent),
        cmocka_unit_test(test_level_names_read_back),
        cmocka_unit_test(test_a_flood_is_counted_and_summed_up),
        cmocka_unit_test(test_the_end_of_a_flood_is_told_without_another_message),
        cmocka_unit_test(test_what_an_application_says_may_be_much),
        cmocka_unit_test(test_debugging_leaves_nothing_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
