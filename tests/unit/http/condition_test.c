/* Conditional requests (RFC 9110 13): each row is a request's fields and what they come to.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/condition.h"

#include "../base/scratch.h"

#define THEN  "Sun, 09 Sep 2001 01:46:40 GMT"
#define EARLY "Sat, 01 Jan 2000 00:00:00 GMT"
#define LATE  "Tue, 01 Jan 2030 00:00:00 GMT"

enum { THEN_S = 1000000000 };

static const struct validators strong = {SLICE_INIT("\"v1\""), THEN_S, true};
static const struct validators weak = {SLICE_INIT("W/\"v1\""), THEN_S, false};
static const struct validators none = {{NULL, 0}, MODIFIED_UNKNOWN, false};

struct row {
    const struct validators *validators;
    const char *fields[6]; /* name, value, ... */
    enum condition of_get, of_post;
};

#define MET    CONDITION_MET
#define SAME   CONDITION_NOT_MODIFIED
#define FAILED CONDITION_FAILED

/* clang-format off */
static const struct row rows[] = {
    {&strong, {NULL}, MET, MET},
    {&strong, {"If-None-Match", "\"v1\""}, SAME, FAILED},
    {&strong, {"If-None-Match", "W/\"v1\""}, SAME, FAILED},
    {&strong, {"If-None-Match", "w/\"v1\""}, MET, MET},
    {&strong, {"If-None-Match", "*"}, SAME, FAILED},
    {&none, {"If-None-Match", "*"}, SAME, FAILED},
    {&none, {"If-None-Match", "\"\""}, MET, MET},
    {&strong, {"If-None-Match", "\"v2\""}, MET, MET},
    {&strong, {"If-None-Match", "\"v2\" , \"v1\""}, SAME, FAILED},
    {&strong, {"If-None-Match", ",\"v2\",,\"v1\","}, SAME, FAILED},
    {&strong, {"If-None-Match", "\"v2\" \"v1\""}, MET, MET},
    {&strong, {"If-None-Match", "\"v2\", *"}, MET, MET},
    {&strong, {"If-None-Match", "*,"}, MET, MET},
    {&strong, {"If-None-Match", "v1"}, MET, MET},
    {&strong, {"If-None-Match", "\"v1"}, MET, MET},
    {&strong, {"If-None-Match", ""}, MET, MET},
    {&strong, {"If-None-Match", "\"v2\"", "If-None-Match", "\"v1\""}, SAME, FAILED},
    {&strong, {"If-None-Match", "\"v2\"", "If-Modified-Since", LATE}, MET, MET},
    {&strong, {"If-None-Match", "\"v1\"", "If-Modified-Since", EARLY}, SAME, FAILED},
    {&weak, {"If-None-Match", "\"v1\""}, SAME, FAILED},
    {&strong, {"If-Modified-Since", THEN}, SAME, MET},
    {&strong, {"If-Modified-Since", LATE}, SAME, MET},
    {&strong, {"If-Modified-Since", EARLY}, MET, MET},
    {&strong, {"If-Modified-Since", "Sun Sep  9 01:46:40 2001"}, SAME, MET},
    {&strong, {"If-Modified-Since", "now"}, MET, MET},
    {&none, {"If-Modified-Since", LATE}, MET, MET},
    {&strong, {"If-Match", "\"v1\""}, MET, MET},
    {&strong, {"If-Match", "*"}, MET, MET},
    {&strong, {"If-Match", "\"v2\", \"v1\""}, MET, MET},
    {&strong, {"If-Match", "\"v2\""}, FAILED, FAILED},
    {&strong, {"If-Match", "W/\"v1\""}, FAILED, FAILED},
    {&strong, {"If-Match", "v1"}, FAILED, FAILED},
    {&weak, {"If-Match", "W/\"v1\""}, FAILED, FAILED},
    {&none, {"If-Match", "\"v1\""}, FAILED, FAILED},
    {&strong, {"If-Unmodified-Since", THEN}, MET, MET},
    {&strong, {"If-Unmodified-Since", LATE}, MET, MET},
    {&strong, {"If-Unmodified-Since", EARLY}, FAILED, FAILED},
    {&strong, {"If-Unmodified-Since", "then"}, MET, MET},
    {&none, {"If-Unmodified-Since", EARLY}, MET, MET},
    {&strong, {"If-Match", "\"v1\"", "If-Unmodified-Since", EARLY}, MET, MET},
    {&strong, {"If-Match", "\"v2\"", "If-None-Match", "\"v1\""}, FAILED, FAILED},
    {&strong, {"If-Match", "\"v1\"", "If-None-Match", "\"v1\""}, SAME, FAILED},
    {&strong, {"If-Unmodified-Since", EARLY, "If-None-Match", "\"v1\""}, FAILED, FAILED},
    {&strong, {"If-Unmodified-Since", LATE, "If-Modified-Since", LATE}, SAME, MET},
};

static const struct {
    const struct validators *validators;
    const char *value;
    bool counts;
} if_range[] = {
    {&strong, "\"v1\"", true}, {&strong, "W/\"v1\"", false}, {&strong, "\"v2\"", false},
    {&strong, "v1", false}, {&strong, "*", false}, {&strong, "", false},
    {&strong, "\"v1\", \"v1\"", false}, {&strong, THEN, true}, {&strong, EARLY, false},
    {&strong, LATE, false}, {&weak, "W/\"v1\"", false}, {&weak, "\"v1\"", false},
    {&weak, THEN, false}, {&none, "\"v1\"", false}, {&none, THEN, false},
};
/* clang-format on */

static void add(struct fields *fields, const char *name, const char *value)
{
    fields_add(fields, &arena, field_lookup(slice_str(name)), slice_str(name), slice_str(value));
}

static void test_conditions_are_looked_at_in_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct fields fields = {0};
        for (int k = 0; k < 6 && row->fields[k]; k += 2)
            add(&fields, row->fields[k], row->fields[k + 1]);
        enum condition get = condition_check(&fields, METHOD_GET, row->validators);
        if (get != row->of_get)
            print_error("row %zu: %s: %s\n", i, row->fields[0], row->fields[1]);
        assert_int_equal(get, row->of_get);
        assert_int_equal(condition_check(&fields, METHOD_HEAD, row->validators), row->of_get);
        assert_int_equal(condition_check(&fields, METHOD_POST, row->validators), row->of_post);
    }
}

static void test_a_range_counts_only_for_the_version_the_client_has(void **state)
{
    (void)state;
    struct fields fields = {0};
    assert_true(condition_allows_range(&fields, &strong));
    for (size_t i = 0; i < sizeof(if_range) / sizeof(if_range[0]); i++) {
        struct fields one = {0};
        add(&one, "If-Range", if_range[i].value);
        if (condition_allows_range(&one, if_range[i].validators) != if_range[i].counts)
            fail_msg("row %zu: %s", i, if_range[i].value);
    }
}

static void test_what_an_entity_tag_is(void **state)
{
    (void)state;
    assert_true(condition_is_etag(SLICE("\"\"")));
    assert_true(condition_is_etag(SLICE("W/\"a b\"")) == false);
    assert_true(condition_is_etag(SLICE("\"a\xc3\xa4\"")));
    assert_false(condition_is_etag(SLICE("\"a\"b")));
    assert_false(condition_is_etag(SLICE("a")));
    assert_false(condition_is_etag(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_are_looked_at_in_their_order),
        cmocka_unit_test(test_a_range_counts_only_for_the_version_the_client_has),
        cmocka_unit_test(test_what_an_entity_tag_is),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
