/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/error_page.h"

#include <string.h>

static const char *page(enum error_format format, uint16_t status, uint64_t id)
{
    static char out[ERROR_PAGE_MAX + 1];
    size_t n = error_page_put(out, ERROR_PAGE_MAX, format, status, id);
    assert_true(n > 0 && n < ERROR_PAGE_MAX);
    out[n] = '\0';
    assert_int_equal(strlen(out), n);
    return out;
}

static void test_plain_text_is_what_a_person_can_read_in_a_terminal(void **state)
{
    (void)state;
    assert_string_equal(
        page(ERROR_PLAIN, 502, 0xc0ffee01),
        "502 Bad Gateway\n"
        "The application behind this site could not be reached or gave no valid answer.\n"
        "Request 00000000c0ffee01\n");
    assert_string_equal(page(ERROR_PLAIN, 404, 0),
                        "404 Not Found\nThere is nothing at this address.\n");
}

static void test_html_is_complete_and_needs_nothing_from_elsewhere(void **state)
{
    (void)state;
    const char *p = page(ERROR_HTML, 400, 0xabc);
    assert_ptr_equal(strstr(p, "<!doctype html>"), p);
    assert_non_null(strstr(p, "<title>400 Bad Request</title>"));
    assert_non_null(strstr(p, "<h1>400 Bad Request</h1>"));
    assert_non_null(strstr(p, "0000000000000abc"));
    assert_null(strstr(p, "http:"));
    assert_null(strstr(p, "https:"));
    assert_null(strstr(p, "src="));
    assert_null(strstr(page(ERROR_HTML, 400, 0), "Request <code>"));
}

/* Every status has a page, also those that nobody has thought of. */
static void test_every_status_has_a_page_that_fits(void **state)
{
    (void)state;
    for (uint16_t status = 400; status < 600; status++) {
        assert_true(strlen(error_page_sentence(status)) > 10);
        page(ERROR_HTML, status, UINT64_MAX);
        page(ERROR_PLAIN, status, UINT64_MAX);
    }
    assert_string_equal(error_page_sentence(499), "This site cannot answer the request.");
    assert_string_equal(error_page_sentence(599), error_page_sentence(500));
}

static void test_a_short_buffer_cuts_and_does_not_overrun(void **state)
{
    (void)state;
    char out[64];
    memset(out, '#', sizeof(out));
    assert_int_equal(error_page_put(out, 20, ERROR_HTML, 404, 1), 20);
    assert_int_equal(out[20], '#');
}

/* RFC 9110 12.5.1 */
static const struct {
    const char *accept;
    enum error_format format;
} accepts[] = {
    {"", ERROR_PLAIN},
    {"*/*", ERROR_PLAIN},
    {"text/html", ERROR_HTML},
    {"TEXT/HTML", ERROR_HTML},
    {"application/json, text/html;q=0.5", ERROR_HTML},
    {"text/html ; q=0", ERROR_PLAIN},
    {"text/html;level=1;q=0.000, */*", ERROR_PLAIN},
    {"text/html;q=0.001", ERROR_HTML},
    {"application/xhtml+xml,*/*;q=0.8", ERROR_HTML},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", ERROR_HTML},
    {"text/htmlx, text/plain", ERROR_PLAIN},
    {"application/json", ERROR_PLAIN},
    {",,;;q=,=", ERROR_PLAIN},
    {"text/html;;;", ERROR_HTML},
    {"text/html;a=\"x, \\\" y\";q=0.5;v=1", ERROR_HTML},
    {"text/html;q=0, application/xhtml+xml", ERROR_HTML},
    /* what does not follow the grammar asks for nothing */
    {"text/html, *", ERROR_PLAIN},
    {"text/html, gzip", ERROR_PLAIN},
    {"text/html;q=2", ERROR_PLAIN},
    {"text/html; Q=.2", ERROR_PLAIN},
    {"text/html;a=\"x", ERROR_PLAIN},
    {"text/html/x", ERROR_PLAIN},
    {"text/html text/plain", ERROR_PLAIN},
};

static void test_html_goes_only_to_those_who_ask_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepts) / sizeof(accepts[0]); i++) {
        struct field line = {.value = slice_str(accepts[i].accept), .id = FIELD_ACCEPT};
        struct fields fields = {.v = &line, .n = 1, .seen = UINT64_C(1) << FIELD_ACCEPT};
        if (error_page_format(&fields) != accepts[i].format)
            fail_msg("%s", accepts[i].accept);
    }
    assert_true(slice_eq(error_page_type(ERROR_HTML), SLICE("text/html; charset=utf-8")));
    assert_true(slice_eq(error_page_type(ERROR_PLAIN), SLICE("text/plain; charset=utf-8")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_text_is_what_a_person_can_read_in_a_terminal),
        cmocka_unit_test(test_html_is_complete_and_needs_nothing_from_elsewhere),
        cmocka_unit_test(test_every_status_has_a_page_that_fits),
        cmocka_unit_test(test_a_short_buffer_cuts_and_does_not_overrun),
        cmocka_unit_test(test_html_goes_only_to_those_who_ask_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
