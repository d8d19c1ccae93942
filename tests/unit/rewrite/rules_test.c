/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/uri.h"
#include "memory.h"
#include "rewrite/rules.h"

/* A rule made by hand, as rules_conf.c makes them. */
static struct rule rule_of(enum rule_kind kind, const char *pattern, const char *template,
                           struct regex **list, struct arena *a)
{
    struct rule rule = {.kind = (uint8_t)kind};
    struct template_fault fault;
    char error[REGEX_ERROR_MAX];
    size_t offset;
    enum template_use use = kind == RULE_REWRITE ? TEMPLATE_PATH : TEMPLATE_FIELD;
    if (kind == RULE_REWRITE || kind == RULE_REPLACE)
        rule.regex = regex_new(slice_str(pattern), list, error, &offset);
    else
        rule.name = slice_str(pattern);
    uint32_t groups = rule.regex ? regex_group_count(rule.regex) + 1 : 0;
    if (template)
        assert_true(template_compile(slice_str(template), use, groups, a, &rule.value, &fault));
    return rule;
}

static const struct {
    enum rule_kind kind;
    const char *pattern, *template;
    const char *path, *query; /* raw */
    const char *out, *out_query;
    enum rule_result result;
} targets[] = {
    {RULE_REWRITE, "^/a/(.*)$", "/$1", "/a/b", "q", "/b", "q", RULE_APPLIED},
    {RULE_REWRITE, "^/a/(.*)$", "/$1", "/b", "q", "/b", "q", RULE_SKIPPED},
    {RULE_REWRITE, "^/a/(.*)$", "/x?y=$1", "/a/b%26c", "q", "/x", "y=b%26c", RULE_APPLIED},
    {RULE_REWRITE, "^/a/(.*)$", "/$1", "/a/%E2%82%AC", "", "/%E2%82%AC", "", RULE_APPLIED},
    {RULE_REWRITE, "^/a(.*)$", "/b/$1", "/a..", "", "/", "", RULE_APPLIED},
    {RULE_REWRITE, "^/a(.*)$", "/$1", "/a..", "", "/a..", "", RULE_NO_PATH},
    {RULE_REWRITE, "^/a(.*)$", "$1", "/ab", "", "/ab", "", RULE_NO_PATH},
    {RULE_REWRITE, "^/a(.*)$", "$1", "/a*", "", "/a*", "", RULE_NO_PATH},
    {RULE_REWRITE, "^/(a|aa|aaa)+$", "/", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "",
     "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "", RULE_COSTLY},
    {RULE_STRIP, "/a", NULL, "/a/b", "q", "/b", "q", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a", "", "/", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a/", "", "/", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/ab", "", "/ab", "", RULE_SKIPPED},
    {RULE_STRIP, "/a", NULL, "/%61/b", "", "/b", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a/b%2Fc", "", "/b%2Fc", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a/b/../../a/c", "", "/c", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a/b/%2e%2e/%2E./a/c", "", "/c", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "/a//b", "", "/b", "", RULE_APPLIED},
    {RULE_STRIP, "/a", NULL, "//a//b", "", "/b", "", RULE_APPLIED},
    {RULE_PREPEND, "/x", NULL, "/a%2Fb", "q", "/x/a%2Fb", "q", RULE_APPLIED},
    {RULE_PREPEND, "/x", NULL, "/a/../b", "", "/x/b", "", RULE_APPLIED},
    {RULE_PREPEND, "/x", NULL, "*", "", "*", "", RULE_SKIPPED},
    {RULE_REWRITE, "^(.*)$", "/x$1", "*", "", "*", "", RULE_SKIPPED},
    {RULE_QUERY, "", "a=b", "*", "", "*", "", RULE_SKIPPED},
    {RULE_QUERY, "", "a=b", "/a", "q", "/a", "a=b", RULE_APPLIED},
    {RULE_QUERY, "", "", "/a", "q", "/a", "", RULE_APPLIED},
};

static void test_targets_are_changed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct memory memory;
        struct arena *a = memory_init(&memory);
        struct regex *list = NULL;
        struct rule rule =
            rule_of(targets[i].kind, targets[i].pattern, targets[i].template, &list, a);
        struct target t = {.path = slice_str(targets[i].path),
                           .query = slice_str(targets[i].query)};
        struct facts f = {.query = t.query, .path = t.path};
        struct fault fault;
        if (!slice_eq(t.path, SLICE("*")))
            assert_int_equal(uri_normalise_path(t.path, a, &f.path, &fault), PARSE_DONE);
        enum rule_result result = rule_apply_target(&rule, &f, &t, 1000, a);
        if (result != targets[i].result)
            fail_msg("%s: %s", targets[i].path, rule_result_text(result));
        if (result == RULE_APPLIED || result == RULE_SKIPPED) {
            assert_slice(t.path, targets[i].out);
            assert_slice(t.query, targets[i].out_query);
        }
        regex_free_all(list);
        memory_fini(&memory);
    }
    regex_end_thread();
}

static void test_what_a_rule_makes_is_bounded(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct regex *list = NULL;
    struct rule rule = rule_of(RULE_REWRITE, "^/(.*)$", "/$1$1$1", &list, a);
    struct target t = {.path = SLICE("/0123456789")};
    struct facts f = {.path = t.path};
    assert_int_equal(rule_apply_target(&rule, &f, &t, 30, a), RULE_TOO_LONG);
    assert_int_equal(rule_apply_target(&rule, &f, &t, 31, a), RULE_APPLIED);
    regex_free_all(list);
    memory_fini(&memory);
}

static const struct {
    const char *pattern, *template, *value, *out; /* NULL: nothing matches */
} replaced[] = {
    {"a", "b", "xaya", "xbyb"},
    {"a+", "<$0>", "aa-a", "<aa>-<a>"},
    {"^", "x", "abc", "xabc"},
    {"$", "x", "abc", "abcx"},
    {"", "-", "ab", "-a-b-"},
    {"b*", "-", "abb", "-a--"},
    {"(.)(.)", "$2$1", "abcd", "badc"},
    {"z", "y", "abc", NULL},
    {"a", "", "abac", "bc"},
    {"x*", "y", "", "y"},
    {"(?=b)", "-", "ab", "a-b"},
};

static void test_fields_are_replaced_wherever_they_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++) {
        struct memory memory;
        struct arena *a = memory_init(&memory);
        struct regex *list = NULL;
        struct rule rule =
            rule_of(RULE_REPLACE, replaced[i].pattern, replaced[i].template, &list, a);
        rule.name = SLICE("X");
        struct fields fields = {0};
        struct facts f = {.fields = &fields};
        fields_add(&fields, a, FIELD_OTHER, SLICE("x"), slice_str(replaced[i].value));
        fields_add(&fields, a, FIELD_OTHER, SLICE("Y"), slice_str(replaced[i].value));
        enum rule_result result = rule_apply_fields(&rule, &f, &fields, 1000, a);
        assert_int_equal(result, replaced[i].out ? RULE_APPLIED : RULE_SKIPPED);
        const struct field *field = fields_find_name(&fields, SLICE("X"));
        assert_non_null(field);
        assert_slice(field->value, replaced[i].out ? replaced[i].out : replaced[i].value);
        regex_free_all(list);
        memory_fini(&memory);
    }
}

/* Replacing a part of what matches would let the rest through. */
static void test_too_many_matches_are_an_error(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct regex *list = NULL;
    struct rule rule = rule_of(RULE_REPLACE, "a", "b", &list, a);
    char many[201];
    memset(many, 'a', sizeof(many));
    rule.name = SLICE("X");
    for (size_t n = 200; n <= 201; n++) {
        struct fields fields = {0};
        struct facts f = {.fields = &fields};
        fields_add(&fields, a, FIELD_OTHER, SLICE("X"), slice_of(many, 100));
        fields_add(&fields, a, FIELD_OTHER, SLICE("X"), slice_of(many, n - 100));
        assert_int_equal(rule_apply_fields(&rule, &f, &fields, 1000, a),
                         n == 200 ? RULE_APPLIED : RULE_COSTLY);
    }
    regex_free_all(list);
    memory_fini(&memory);
}

static void test_fields_are_set_added_and_removed(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct fields fs = {0};
    struct facts f = {.fields = &fs, .path = SLICE("/p")};
    fields_add(&fs, a, FIELD_ACCEPT, SLICE("accept"), SLICE("1"));
    fields_add(&fs, a, FIELD_ACCEPT, SLICE("Accept"), SLICE("2"));
    fields_add(&fs, a, FIELD_OTHER, SLICE("X-One"), SLICE("1"));
    fields_add(&fs, a, FIELD_OTHER, SLICE("X-Two"), SLICE("2"));
    struct rule set = rule_of(RULE_SET, "Accept", "${path}", NULL, a);
    set.id = FIELD_ACCEPT;
    assert_int_equal(rule_apply_fields(&set, &f, &fs, 100, a), RULE_APPLIED);
    assert_slice(fields_value(&fs, FIELD_ACCEPT), "/p");
    assert_int_equal(fs.n, 5);
    struct rule empty = rule_of(RULE_SET, "Accept", "${query}", NULL, a);
    empty.id = FIELD_ACCEPT;
    assert_int_equal(rule_apply_fields(&empty, &f, &fs, 100, a), RULE_APPLIED);
    assert_false(fields_has(&fs, FIELD_ACCEPT));
    assert_int_equal(rule_apply_fields(&empty, &f, &fs, 100, a), RULE_SKIPPED);
    struct rule all = rule_of(RULE_REMOVE, "x-*", NULL, NULL, a);
    assert_int_equal(rule_apply_fields(&all, &f, &fs, 100, a), RULE_APPLIED);
    assert_null(fields_find_name(&fs, SLICE("X-One")));
    assert_null(fields_find_name(&fs, SLICE("X-Two")));
    assert_int_equal(rule_apply_fields(&all, &f, &fs, 100, a), RULE_SKIPPED);
    struct rule add = rule_of(RULE_ADD, "X-One", "3", NULL, a);
    assert_int_equal(rule_apply_fields(&add, &f, &fs, 100, a), RULE_APPLIED);
    assert_int_equal(rule_apply_fields(&add, &f, &fs, 0, a), RULE_TOO_LONG);
    memory_fini(&memory);
}

static void test_a_status_without_a_body_stays(void **state)
{
    (void)state;
    static const uint16_t stays[] = {101, 204, 304};
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct rule rule = {.kind = RULE_STATUS, .status = 503};
    struct facts f = {0};
    for (size_t i = 0; i < 3; i++) {
        struct response_head head = {.status = stays[i]};
        assert_int_equal(rule_apply_response(&rule, &f, &head, 100, a), RULE_SKIPPED);
        assert_int_equal(head.status, stays[i]);
    }
    struct response_head head = {.status = 200};
    assert_int_equal(rule_apply_response(&rule, &f, &head, 100, a), RULE_APPLIED);
    assert_int_equal(head.status, 503);
    assert_slice(head.reason, "Service Unavailable");
    memory_fini(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets_are_changed),
        cmocka_unit_test(test_what_a_rule_makes_is_bounded),
        cmocka_unit_test(test_fields_are_replaced_wherever_they_match),
        cmocka_unit_test(test_too_many_matches_are_an_error),
        cmocka_unit_test(test_fields_are_set_added_and_removed),
        cmocka_unit_test(test_a_status_without_a_body_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
