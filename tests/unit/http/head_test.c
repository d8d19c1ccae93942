/* What heads turn into; what is refused is in strictness.def.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/head.h"

#include "../base/scratch.h"

static const struct head_limits limits = {.head_bytes = 8192, .target_bytes = 4096, .fields = 100};

static void assert_slice(struct slice got, const char *expected)
{
    if (!slice_eq(got, slice_str(expected)))
        print_error("\"" SLICE_FMT "\" is not \"%s\"\n", SLICE_ARG(got), expected);
    assert_true(slice_eq(got, slice_str(expected)));
}

static struct request_head request(const char *bytes)
{
    struct request_head head;
    struct fault f = {0};
    enum parse found = request_head_parse(slice_str(bytes), &limits, &arena, &head, &f);
    if (found != PARSE_DONE)
        print_error("%s: %s\n", bytes, f.what);
    assert_int_equal(found, PARSE_DONE);
    return head;
}

static struct response_head response(const char *bytes, enum response_form form)
{
    struct response_head head;
    struct fault f = {0};
    enum parse found = response_head_parse(slice_str(bytes), form, &limits, &arena, &head, &f);
    if (found != PARSE_DONE)
        print_error("%s: %s\n", bytes, f.what);
    assert_int_equal(found, PARSE_DONE);
    return head;
}

static void test_origin_form_gives_path_query_and_host(void **state)
{
    (void)state;
    struct request_head r = request("GET /a/b?c=d HTTP/1.1\r\nHost: e:8080\r\nX-F:  g h \r\n\r\n");
    assert_int_equal(r.method, METHOD_GET);
    assert_slice(r.method_text, "GET");
    assert_int_equal(r.form, TARGET_ORIGIN);
    assert_slice(r.target, "/a/b?c=d");
    assert_slice(r.path, "/a/b");
    assert_slice(r.query, "c=d");
    assert_true(r.has_query);
    assert_slice(r.authority, "e:8080");
    assert_null(r.scheme.p);
    assert_int_equal(r.minor, 1);
    assert_int_equal(r.fields.n, 2);
    assert_slice(r.fields.v[1].name, "X-F");
    assert_slice(r.fields.v[1].value, "g h");
    assert_int_equal(r.fields.v[0].id, FIELD_HOST);
}

static void test_a_query_may_be_absent_or_empty(void **state)
{
    (void)state;
    struct request_head none = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(none.has_query);
    assert_slice(none.target, "/");
    struct request_head empty = request("GET /? HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(empty.has_query);
    assert_int_equal(empty.query.n, 0);
    assert_slice(empty.path, "/");
    assert_slice(empty.target, "/?");
}

/* RFC 9112 3.2.2 */
static void test_absolute_form_overrides_host(void **state)
{
    (void)state;
    struct request_head r = request("POST https://b:1/c?d HTTP/1.1\r\nHost: e\r\n\r\n");
    assert_int_equal(r.form, TARGET_ABSOLUTE);
    assert_slice(r.scheme, "https");
    assert_slice(r.authority, "b:1");
    assert_slice(r.path, "/c");
    assert_slice(r.query, "d");
    assert_slice(r.target, "https://b:1/c?d");
}

static void test_absolute_form_without_path_means_the_root(void **state)
{
    (void)state;
    struct request_head r = request("GET http://b?c HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_slice(r.path, "/");
    assert_slice(r.query, "c");
    assert_slice(r.target, "http://b?c");
    r = request("OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_slice(r.path, "*"); /* RFC 9112 3.2.4 */
    assert_slice(r.target, "http://b");
    r = request("OPTIONS http://b/ HTTP/1.1\r\nHost: b\r\n\r\n");
    assert_slice(r.path, "/");
}

static void test_authority_form_is_for_connect(void **state)
{
    (void)state;
    struct request_head r = request("CONNECT b:443 HTTP/1.1\r\nHost: c\r\n\r\n");
    assert_int_equal(r.method, METHOD_CONNECT);
    assert_int_equal(r.form, TARGET_AUTHORITY);
    assert_slice(r.authority, "b:443");
    assert_int_equal(r.path.n, 0);
}

static void test_asterisk_form_is_for_options(void **state)
{
    (void)state;
    struct request_head r = request("OPTIONS * HTTP/1.1\r\nHost: c\r\n\r\n");
    assert_int_equal(r.method, METHOD_OPTIONS);
    assert_int_equal(r.form, TARGET_ASTERISK);
    assert_slice(r.path, "*");
    assert_slice(r.authority, "c");
}

static void test_minor_versions_count_as_0_or_1(void **state)
{
    (void)state;
    struct request_head r = request("GET / HTTP/1.0\r\n\r\n");
    assert_int_equal(r.minor, 0);
    assert_null(r.authority.p);
    assert_int_equal(request("GET / HTTP/1.7\r\nHost: a\r\n\r\n").minor, 1);
    assert_int_equal(response("HTTP/1.0 200 OK\r\n\r\n", RESPONSE_STATUS_LINE).minor, 0);
    assert_int_equal(response("HTTP/1.3 200 OK\r\n\r\n", RESPONSE_STATUS_LINE).minor, 1);
}

static void test_methods_are_known_by_their_exact_name(void **state)
{
    (void)state;
#define METHOD(id, text, safe, idempotent)                                                         \
    assert_int_equal(method_lookup(SLICE(text)), METHOD_##id);                                     \
    assert_int_equal(method_is_safe(METHOD_##id), safe);                                           \
    assert_int_equal(method_is_idempotent(METHOD_##id), idempotent);
#include "http/method.def"
#undef METHOD
    assert_int_equal(method_lookup(SLICE("get")), METHOD_OTHER);
    assert_int_equal(method_lookup(SLICE("OPTIONSX")), METHOD_OTHER);
    assert_int_equal(request("OPTIONSX / HTTP/1.1\r\nHost: a\r\n\r\n").method, METHOD_OTHER);
    assert_false(method_is_idempotent(METHOD_OTHER));
}

static void test_a_status_line_gives_status_and_reason(void **state)
{
    (void)state;
    struct response_head r =
        response("HTTP/1.1 404 Not  Found\r\nServer: a\r\n\r\n", RESPONSE_STATUS_LINE);
    assert_int_equal(r.status, 404);
    assert_slice(r.reason, "Not  Found");
    assert_int_equal(r.fields.v[0].id, FIELD_SERVER);
    assert_int_equal(response("HTTP/1.1 200\r\n\r\n", RESPONSE_STATUS_LINE).reason.n, 0);
}

/* RFC 3875 6.3.3 */
static void test_cgi_takes_the_status_from_a_field(void **state)
{
    (void)state;
    struct response_head r = response("Status: 404 Not Found\nX: a\n\n", RESPONSE_CGI);
    assert_int_equal(r.status, 404);
    assert_slice(r.reason, "Not Found");
    assert_true(r.fields.v[0].dropped);
    assert_false(r.fields.v[1].dropped);
    assert_int_equal(response("Content-Type: a/b\r\n\r\n", RESPONSE_CGI).status, 200);
    assert_int_equal(response("Location: http://a/\r\n\r\n", RESPONSE_CGI).status, 302);
    assert_int_equal(response("Location: /\r\nStatus: 201\r\n\r\n", RESPONSE_CGI).status, 201);
    assert_int_equal(response("HTTP/1.1 301 X\r\nStatus: 200\r\n\r\n", RESPONSE_CGI).status, 301);
}

static void test_http_keeps_a_status_field(void **state)
{
    (void)state;
    struct response_head r =
        response("HTTP/1.1 200 OK\r\nStatus: 404\r\n\r\n", RESPONSE_STATUS_LINE);
    assert_int_equal(r.status, 200);
    assert_false(r.fields.v[0].dropped);
}

static void test_trailers_are_fields_without_those_that_must_not_come_late(void **state)
{
    (void)state;
    struct fields fs;
    struct fault f;
    struct slice bytes = SLICE("X-Sum: 1\r\nConnection: close\r\nAuthorization: a\r\n\r\n");
    assert_int_equal(trailers_parse(bytes, &limits, &arena, &fs, &f), PARSE_DONE);
    assert_int_equal(fs.n, 3);
    assert_false(fs.v[0].dropped);
    assert_true(fs.v[1].dropped);
    assert_true(fs.v[2].dropped);
    assert_int_equal(trailers_parse(SLICE("\r\n"), &limits, &arena, &fs, &f), PARSE_DONE);
    assert_int_equal(fs.n, 0);
    assert_int_equal(trailers_parse(SLICE("\n"), &limits, &arena, &fs, &f), PARSE_BAD);
}

static void test_the_end_of_a_head_is_found_once(void **state)
{
    (void)state;
    struct slice bytes = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /");
    for (size_t cut = 0; cut <= bytes.n; cut++) {
        size_t scanned = 0, end = 0;
        enum parse found = head_find_end(slice_first(bytes, cut), &scanned, &end);
        assert_int_equal(found, cut < 27 ? PARSE_MORE : PARSE_DONE);
        assert_int_equal(scanned, cut < 27 ? cut : 27);
        if (found == PARSE_MORE)
            assert_int_equal(head_find_end(bytes, &scanned, &end), PARSE_DONE);
        assert_int_equal(end, 27);
    }
}

static void test_an_empty_line_at_the_front_ends_a_head(void **state)
{
    (void)state;
    size_t scanned = 0, end = 0;
    assert_int_equal(head_find_end(SLICE("\r\nX: a\r\n"), &scanned, &end), PARSE_DONE);
    assert_int_equal(end, 2);
    scanned = 0;
    assert_int_equal(head_find_end(SLICE("\n"), &scanned, &end), PARSE_DONE);
    assert_int_equal(end, 1);
    scanned = 0;
    assert_int_equal(head_find_end(SLICE("a\r\r\n\r"), &scanned, &end), PARSE_MORE);
}

static void test_faults_point_at_the_byte(void **state)
{
    (void)state;
    struct request_head head;
    struct fault f;
    struct slice bytes = SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: 12\0034\r\n\r\n");
    assert_int_equal(request_head_parse(bytes, &limits, &arena, &head, &f), PARSE_BAD);
    assert_int_equal(f.offset, 30);
    bytes = SLICE("GET /%zz HTTP/1.1\r\n\r\n");
    assert_int_equal(request_head_parse(bytes, &limits, &arena, &head, &f), PARSE_BAD);
    assert_int_equal(f.offset, 4);
}

static void test_heads_that_do_not_end_in_lf_are_refused(void **state)
{
    (void)state;
    struct request_head head;
    struct fault f;
    struct slice whole = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(request_head_parse(slice_first(whole, n), &limits, &arena, &head, &f),
                         PARSE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin_form_gives_path_query_and_host),
        cmocka_unit_test(test_a_query_may_be_absent_or_empty),
        cmocka_unit_test(test_absolute_form_overrides_host),
        cmocka_unit_test(test_absolute_form_without_path_means_the_root),
        cmocka_unit_test(test_authority_form_is_for_connect),
        cmocka_unit_test(test_asterisk_form_is_for_options),
        cmocka_unit_test(test_minor_versions_count_as_0_or_1),
        cmocka_unit_test(test_methods_are_known_by_their_exact_name),
        cmocka_unit_test(test_a_status_line_gives_status_and_reason),
        cmocka_unit_test(test_cgi_takes_the_status_from_a_field),
        cmocka_unit_test(test_http_keeps_a_status_field),
        cmocka_unit_test(test_trailers_are_fields_without_those_that_must_not_come_late),
        cmocka_unit_test(test_the_end_of_a_head_is_found_once),
        cmocka_unit_test(test_an_empty_line_at_the_front_ends_a_head),
        cmocka_unit_test(test_faults_point_at_the_byte),
        cmocka_unit_test(test_heads_that_do_not_end_in_lf_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
