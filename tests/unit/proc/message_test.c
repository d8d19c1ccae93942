/* SPDX-License-Identifier: MIT */
#include "proc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXTS(text, n)                                                                             \
    {                                                                                              \
        .p = (text), .bytes = sizeof(text) - 1, .count = (n)                                       \
    }

static const struct message samples[] = {
    {.type = MESSAGE_DEFINE,
     .def = {.index = 7,
             .kind = SPAWN_APP,
             .name = SLICE_INIT("app"),
             .argv = TEXTS("/bin/app\0--port\0{port}\0", 3),
             .env = TEXTS("A=1\0B=\0", 2),
             .directory = SLICE_INIT("/srv"),
             .path = SLICE_INIT("/run/a-{n}"),
             .has_umask = true,
             .umask = 027,
             .has_user = true,
             .uid = 33,
             .gid = 33,
             .groups = {33, 44},
             .group_count = 2,
             .limits = {{7, 100}},
             .limit_count = 1}},
    {.type = MESSAGE_DEFINE,
     .def = {.kind = SPAWN_CGI, .directory = SLICE_INIT("/usr/lib/cgi-bin"), .argv = {.p = ""}}},
    {.type = MESSAGE_FORGET, .forget = 3},
    {.type = MESSAGE_CHANNEL},
    {.type = MESSAGE_START,
     .order = {.id = 1,
               .def = 7,
               .number = 2,
               .port = 8080,
               .program = SLICE_INIT("a/b.cgi"),
               .env = TEXTS("QUERY_STRING=\0HTTP_HOST=a\0", 2),
               .fd_count = 3,
               .targets = {0, 1, 2}}},
    {.type = MESSAGE_SIGNAL, .signal = {.id = 9, .signo = 15}},
    {.type = MESSAGE_STARTED, .started = {.id = 9, .pid = 4711}},
    {.type = MESSAGE_STARTED, .started = {.id = 9, .error = -2, .stage = STAGE_EXEC}},
    {.type = MESSAGE_EXITED, .exited = {.id = 9, .pid = 4711, .status = -1, .signo = 9}},
};
enum { SAMPLES = sizeof(samples) / sizeof(samples[0]), CAP = 4096 };

/* In memory of exactly its size, so that a look behind its end is seen. */
static const char *read_copy(const char *p, size_t n, struct message *m, char **copy)
{
    *copy = malloc(n ? n : 1);
    memcpy(*copy, p, n);
    return message_read(slice_of(*copy, n), m);
}

static void test_what_is_written_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        char one[CAP], other[CAP], *copy;
        struct message m;
        size_t n = message_write(&samples[i], one, sizeof(one));
        assert_in_range(n, 4, CAP);
        assert_null(read_copy(one, n, &m, &copy));
        assert_int_equal(message_write(&m, other, sizeof(other)), n);
        assert_memory_equal(one, other, n);
        free(copy);
    }
}

static void test_a_message_that_is_cut_or_has_more_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        char p[CAP] = {0}, *copy;
        struct message m;
        size_t n = message_write(&samples[i], p, sizeof(p));
        for (size_t cut = 0; cut <= n + 1; cut++) {
            const char *why = read_copy(p, cut, &m, &copy);
            assert_true((why == NULL) == (cut == n));
            free(copy);
        }
    }
}

static void test_no_change_of_a_byte_does_harm(void **state)
{
    (void)state;
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    for (size_t i = 0; i < SAMPLES; i++) {
        char p[CAP], *copy, again[CAP];
        struct message m;
        size_t n = message_write(&samples[i], p, sizeof(p));
        for (size_t k = 0; k < n * sizeof(values); k++) {
            char was = p[k % n];
            p[k % n] = (char)values[k / n];
            if (!read_copy(p, n, &m, &copy)) /* then it is as good as any */
                assert_in_range(message_write(&m, again, sizeof(again)), 4, CAP);
            free(copy);
            p[k % n] = was;
        }
    }
}

static void test_what_does_not_fit_is_not_written(void **state)
{
    (void)state;
    char p[CAP];
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t n = message_write(&samples[i], p, sizeof(p));
        for (size_t cap = 0; cap < n; cap++)
            assert_int_equal(message_write(&samples[i], p, cap), 0);
    }
}

static void test_what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    const struct spawn_def app = samples[0].def;
    const struct spawn_order order = samples[4].order;
    struct message bad[] = {
        {.type = MESSAGE_DEFINE, .def = app},
        {.type = MESSAGE_DEFINE, .def = app},
        {.type = MESSAGE_DEFINE, .def = app},
        {.type = MESSAGE_DEFINE, .def = app},
        {.type = MESSAGE_DEFINE, .def = app},
        {.type = MESSAGE_START, .order = order},
        {.type = MESSAGE_START, .order = order},
        {.type = MESSAGE_START, .order = order},
        {.type = MESSAGE_START, .order = order},
        {.type = MESSAGE_SIGNAL, .signal = {1, 6}},
        {.type = MESSAGE_SIGNAL, .signal = {1, 19}},
        {.type = MESSAGE_STARTED, .started = {.id = 1}},
    };
    bad[0].def.argv = (struct strings){.p = ""};         /* no command */
    bad[1].def.kind = SPAWN_CGI;                         /* with three programs */
    bad[2].def.env = (struct strings)TEXTS("A\0", 1);    /* no value */
    bad[3].def.env = (struct strings)TEXTS("=a\0", 1);   /* no name */
    bad[4].def.name = SLICE("a\0b");                     /* a NUL inside */
    bad[5].order.targets[2] = 1;                         /* a place twice */
    bad[6].order.targets[2] = MESSAGE_TARGET_FD_MAX + 1; /* no such place */
    bad[7].order.env = (struct strings)TEXTS("LD_PRELOAD=x\0", 1);
    bad[8].order.env = (struct strings)TEXTS("HTTP_PROXY=x\0", 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char p[CAP], *copy;
        struct message m;
        size_t n = message_write(&bad[i], p, sizeof(p));
        assert_true(n == 0 || read_copy(p, n, &m, &copy) != NULL);
        if (n)
            free(copy);
    }
}

static void test_variables_that_steer_an_interpreter_are_not_for_cgi(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } table[] = {
        {"QUERY_STRING=", true},
        {"HTTP_ACCEPT=a", true},
        {"HTTPS=on", true},
        {"REMOTE_USER=x", true},
        {"SCRIPT_NAME=/a", true},
        {"HTTP_PROXY=x", false},
        {"HTTP_PROXYX=x", true},
        {"PATH=/evil", false},
        {"LD_PRELOAD=x", false},
        {"IFS=", false},
        {"BASH_ENV=x", false},
        {"PYTHONPATH=x", false},
        {"PERL5OPT=x", false},
        {"QUERY_STRINGS=x", false},
        {"HTTPSX=x", false},
        {"QUERY_STRING", false},
        {"", false},
        {"=x", false},
        {"PATH_INFO=/a", true},
        {"PATH_INFOX=/a", false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (message_is_cgi_variable(table[i].text) != table[i].good)
            fail_msg("%s", table[i].text);
}

static void test_braces_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } table[] = {
        {"", ""},           {"plain", "plain"},
        {"{port}", "8080"}, {"-p {port} {n}", "-p 8080 3"},
        {"{path}", "/r/s"}, {"{other}", "{other}"},
        {"{", "{"},         {"{n", "{n"},
        {"{{n}}", "{3}"},   {"a{n}b{n}c", "a3b3c"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_true(
            message_expand(slice_str(table[i].in), 3, 8080, SLICE("/r/s"), out, sizeof(out)));
        assert_string_equal(out, table[i].out);
    }
    assert_false(message_expand(SLICE("{port}"), 0, 8080, SLICE_NONE, out, 4));
    assert_true(message_expand(SLICE("{port}"), 0, 8080, SLICE_NONE, out, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_reads_back),
        cmocka_unit_test(test_a_message_that_is_cut_or_has_more_is_refused),
        cmocka_unit_test(test_no_change_of_a_byte_does_harm),
        cmocka_unit_test(test_what_does_not_fit_is_not_written),
        cmocka_unit_test(test_what_is_out_of_range_is_refused),
        cmocka_unit_test(test_variables_that_steer_an_interpreter_are_not_for_cgi),
        cmocka_unit_test(test_braces_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
