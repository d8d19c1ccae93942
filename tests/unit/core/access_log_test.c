/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/access_log.h"

#include <string.h>

static struct access_record record(void)
{
    return (struct access_record){
        .wall_us = 1783168496789123,
        .id = 0xc0ffee01,
        .client = SLICE("192.0.2.7"),
        .method = SLICE("GET"),
        .target = SLICE("/a?b=c"),
        .version = SLICE("HTTP/1.1"),
        .host = SLICE("example.org"),
        .status = 200,
        .sent_bytes = 1234,
        .received_bytes = 5,
        .referer = SLICE("http://example.org/"),
        .user_agent = SLICE("curl/8"),
        .pool = SLICE("app"),
        .backend = SLICE("10.0.0.9:8080"),
        .attempts = 2,
        .phase_us = {[PHASE_HEAD] = 10,
                     [PHASE_QUEUE] = 0,
                     [PHASE_CONNECT] = -1,
                     [PHASE_FIRST] = 300,
                     [PHASE_TOTAL] = 4000},
        .ended_by = END_COMPLETE,
    };
}

static const char *format(enum access_format format, const struct access_record *r)
{
    static char line[ACCESS_LINE_MAX + 1];
    size_t n = access_log_put(line, ACCESS_LINE_MAX, format, r);
    assert_true(n > 0 && n <= ACCESS_LINE_MAX);
    line[n] = '\0';
    assert_int_equal(strlen(line), n);
    assert_ptr_equal(strchr(line, '\n'), line + n - 1); /* one line */
    return line;
}

static void test_combined_begins_as_tools_expect_it(void **state)
{
    (void)state;
    struct access_record r = record();
    assert_string_equal(format(ACCESS_COMBINED, &r),
                        "192.0.2.7 - - [04/Jul/2026:12:34:56 +0000] \"GET /a?b=c HTTP/1.1\" 200 "
                        "1234 \"http://example.org/\" \"curl/8\" id=00000000c0ffee01 "
                        "host=\"example.org\" in=5 pool=\"app\" backend=\"10.0.0.9:8080\" "
                        "attempts=2 head_us=10 queue_us=0 first_us=300 total_us=4000 "
                        "end=complete\n");
}

static void test_json_has_one_member_for_each_fact(void **state)
{
    (void)state;
    struct access_record r = record();
    r.ended_by = END_CLIENT;
    r.end_reason = SLICE("reset while \"sending\"");
    assert_string_equal(
        format(ACCESS_JSON, &r),
        "{\"time\":\"2026-07-04T12:34:56.789Z\",\"id\":\"00000000c0ffee01\","
        "\"client\":\"192.0.2.7\",\"method\":\"GET\",\"host\":\"example.org\","
        "\"target\":\"/a?b=c\",\"version\":\"HTTP/1.1\",\"status\":200,\"sent_bytes\":1234,"
        "\"received_bytes\":5,\"referer\":\"http://example.org/\",\"user_agent\":\"curl/8\","
        "\"pool\":\"app\",\"backend\":\"10.0.0.9:8080\",\"attempts\":2,\"head_us\":10,"
        "\"queue_us\":0,\"first_us\":300,\"total_us\":4000,\"end\":\"client\","
        "\"reason\":\"reset while \\\"sending\\\"\"}\n");
}

static void test_what_is_not_known_is_left_out(void **state)
{
    (void)state;
    struct access_record r = {.ended_by = END_GATEWAY};
    for (int i = 0; i < ACCESS_PHASES; i++)
        r.phase_us[i] = -1;
    assert_string_equal(format(ACCESS_COMBINED, &r),
                        "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\" "
                        "id=0000000000000000 in=0 attempts=0 end=gateway\n");
    assert_string_equal(format(ACCESS_JSON, &r),
                        "{\"time\":\"1970-01-01T00:00:00.000Z\",\"id\":\"0000000000000000\","
                        "\"status\":0,\"sent_bytes\":0,\"received_bytes\":0,\"attempts\":0,"
                        "\"end\":\"gateway\"}\n");
}

static void test_a_client_cannot_forge_lines_or_fields(void **state)
{
    (void)state;
    struct access_record r = record();
    r.target = SLICE("/\" 200 0 \"-\" \"-\"\n1.2.3.4 - -\xff\xc3\xa9");
    r.user_agent = SLICE("\x1b[2J\\\"");
    const char *line = format(ACCESS_COMBINED, &r);
    assert_non_null(strstr(line, "\"GET /\\\" 200 0 \\\"-\\\" \\\"-\\\"\\x0a1.2.3.4 - -\\xff"
                                 "\xc3\xa9 HTTP/1.1\" 200 "));
    assert_non_null(strstr(line, "\"\\x1b[2J\\\\\\\"\""));
    line = format(ACCESS_JSON, &r);
    assert_non_null(strstr(line, "\"target\":\"/\\\" 200 0 \\\"-\\\" \\\"-\\\"\\u000a1.2.3.4 - -"
                                 "\\u00ff\xc3\xa9\""));
    assert_non_null(strstr(line, "\"user_agent\":\"\\u001b[2J\\\\\\\"\""));
}

/* All fields at once, each as long and as bad as it can be. */
static void test_the_longest_record_still_makes_a_complete_line(void **state)
{
    (void)state;
    static char bad[60000];
    for (int fill = 0; fill < 3; fill++) {
        memset(bad, fill == 0 ? 'a' : fill == 1 ? '\n' : '"', sizeof(bad));
        struct slice s = slice_of(bad, sizeof(bad));
        struct access_record r = {
            .wall_us = INT64_MAX,
            .id = UINT64_MAX,
            .client = s,
            .method = s,
            .target = s,
            .version = s,
            .host = s,
            .status = UINT16_MAX,
            .sent_bytes = UINT64_MAX,
            .received_bytes = UINT64_MAX,
            .referer = s,
            .user_agent = s,
            .pool = s,
            .backend = s,
            .attempts = UINT32_MAX,
            .phase_us = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
            .ended_by = END_COMPLETE,
            .end_reason = s,
        };
        static const size_t rooms[] = {ACCESS_LINE_MIN, 5000, ACCESS_LINE_MAX};
        for (size_t i = 0; i < 3; i++) {
            char line[ACCESS_LINE_MAX];
            size_t n = access_log_put(line, rooms[i], ACCESS_JSON, &r);
            assert_true(n < rooms[i]);
            assert_memory_equal(line + n - 3, "\"}\n", 3);
            n = access_log_put(line, rooms[i], ACCESS_COMBINED, &r);
            assert_true(n < rooms[i]);
            assert_memory_equal(line + n - 2, "\"\n", 2);
            assert_non_null(memmem(line, n, " end=complete reason=\"", 22));
        }
    }
}

static void test_formats_read_by_name(void **state)
{
    (void)state;
    enum access_format f;
    assert_true(access_format_parse(SLICE("json"), &f) && f == ACCESS_JSON);
    assert_true(access_format_parse(SLICE("combined"), &f) && f == ACCESS_COMBINED);
    assert_false(access_format_parse(SLICE("xml"), &f));
    assert_string_equal(access_end_name(END_BACKEND), "backend");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_combined_begins_as_tools_expect_it),
        cmocka_unit_test(test_json_has_one_member_for_each_fact),
        cmocka_unit_test(test_what_is_not_known_is_left_out),
        cmocka_unit_test(test_a_client_cannot_forge_lines_or_fields),
        cmocka_unit_test(test_the_longest_record_still_makes_a_complete_line),
        cmocka_unit_test(test_formats_read_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
