/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/framing.h"

static struct fields fields_of(struct field v[2], const char *a, const char *a_value, const char *b,
                               const char *b_value)
{
    struct fields fs = {.v = v, .cap = 2};
    if (a)
        fields_add(&fs, NULL, field_lookup(slice_str(a)), slice_str(a), slice_str(a_value));
    if (b)
        fields_add(&fs, NULL, field_lookup(slice_str(b)), slice_str(b), slice_str(b_value));
    return fs;
}

static struct framing of_response(uint16_t status, enum method method, uint8_t minor,
                                  const char *name, const char *value)
{
    struct field v[2];
    struct framing framing;
    struct fault f;
    struct response_head head = {.status = status, .minor = minor};
    head.fields = fields_of(v, name, value, NULL, NULL);
    assert_int_equal(framing_of_response(&head, method, &framing, &f), PARSE_DONE);
    return framing;
}

static void test_requests_without_framing_fields_have_no_body(void **state)
{
    (void)state;
    struct framing framing;
    struct fault f;
    struct request_head head = {.minor = 1};
    assert_int_equal(framing_of_request(&head, &framing, &f), PARSE_DONE);
    assert_int_equal(framing.kind, BODY_NONE);
}

static void test_requests_are_framed_by_length_or_chunks(void **state)
{
    (void)state;
    struct field v[2];
    struct framing framing;
    struct fault f;
    struct request_head head = {.minor = 1};
    head.fields = fields_of(v, "Content-Length", "9223372036854775807", NULL, NULL);
    assert_int_equal(framing_of_request(&head, &framing, &f), PARSE_DONE);
    assert_int_equal(framing.kind, BODY_LENGTH);
    assert_true(framing.length == INT64_MAX);
    head.fields = fields_of(v, "Transfer-Encoding", "CHUNKED", NULL, NULL);
    assert_int_equal(framing_of_request(&head, &framing, &f), PARSE_DONE);
    assert_int_equal(framing.kind, BODY_CHUNKED);
}

static void test_conflicting_fields_are_refused(void **state)
{
    (void)state;
    struct field v[2];
    struct framing framing;
    struct fault f;
    struct request_head head = {.minor = 1};
    head.fields = fields_of(v, "Content-Length", "5", "Transfer-Encoding", "chunked");
    assert_int_equal(framing_of_request(&head, &framing, &f), PARSE_BAD);
    assert_int_equal(f.status, 400);
    struct response_head answer = {.minor = 1, .status = 200, .fields = head.fields};
    assert_int_equal(framing_of_response(&answer, METHOD_GET, &framing, &f), PARSE_BAD);
    assert_int_equal(f.status, 502);
}

/* RFC 9112 6.3, rules 1 and 2 */
static void test_some_responses_never_have_a_body(void **state)
{
    (void)state;
    assert_int_equal(of_response(200, METHOD_HEAD, 1, "Content-Length", "5").kind, BODY_NONE);
    assert_int_equal(of_response(204, METHOD_GET, 1, "Content-Length", "5").kind, BODY_NONE);
    assert_int_equal(of_response(304, METHOD_GET, 1, "Content-Length", "5").kind, BODY_NONE);
    assert_int_equal(of_response(100, METHOD_GET, 1, NULL, NULL).kind, BODY_NONE);
    assert_int_equal(of_response(103, METHOD_POST, 1, NULL, NULL).kind, BODY_NONE);
}

static void test_tunnels_begin_after_101_and_connect(void **state)
{
    (void)state;
    assert_int_equal(of_response(101, METHOD_GET, 1, NULL, NULL).kind, BODY_TUNNEL);
    assert_int_equal(of_response(200, METHOD_CONNECT, 1, NULL, NULL).kind, BODY_TUNNEL);
    assert_int_equal(of_response(403, METHOD_CONNECT, 1, "Content-Length", "5").kind, BODY_LENGTH);
}

static void test_responses_are_framed_by_length_chunks_or_close(void **state)
{
    (void)state;
    struct framing sized = of_response(200, METHOD_GET, 1, "Content-Length", "0");
    assert_int_equal(sized.kind, BODY_LENGTH);
    assert_int_equal(sized.length, 0);
    assert_int_equal(of_response(404, METHOD_GET, 1, "Transfer-Encoding", "chunked").kind,
                     BODY_CHUNKED);
    assert_int_equal(of_response(200, METHOD_GET, 1, NULL, NULL).kind, BODY_CLOSE);
    assert_int_equal(of_response(200, METHOD_GET, 0, NULL, NULL).kind, BODY_CLOSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_without_framing_fields_have_no_body),
        cmocka_unit_test(test_requests_are_framed_by_length_or_chunks),
        cmocka_unit_test(test_conflicting_fields_are_refused),
        cmocka_unit_test(test_some_responses_never_have_a_body),
        cmocka_unit_test(test_tunnels_begin_after_101_and_connect),
        cmocka_unit_test(test_responses_are_framed_by_length_chunks_or_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
