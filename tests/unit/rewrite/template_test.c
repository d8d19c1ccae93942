/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "http/query.h"
#include "memory.h"
#include "rewrite/template.h"

static struct facts make_facts(struct arena *a, struct fields *fields)
{
    fields_add(fields, a, FIELD_OTHER, SLICE("X-A"), SLICE("a b"));
    fields_add(fields, a, FIELD_COOKIE, SLICE("Cookie"), SLICE("s=1; t=2"));
    return (struct facts){
        .host = SLICE("example.org"),
        .authority = SLICE("example.org:81"),
        .path = SLICE("/a b/c&d"),
        .query = SLICE("x=1&y=%32&z"),
        .target = SLICE("/a%20b/c&d?x=1&y=%32&z"),
        .method = SLICE("GET"),
        .scheme = SLICE("https"),
        .client_text = SLICE("::1"),
        .fields = fields,
        .id = 0x1234,
        .port = 443,
    };
}

static const struct {
    const char *text, *target, *field; /* what comes out; NULL: nothing may */
} cases[] = {
    {"", "", ""},
    {"/x", "/x", "/x"},
    {"${path}", "/a%20b/c&d", "/a b/c&d"},
    {"?p=${path}", "?p=/a%20b/c%26d", "?p=/a b/c&d"},
    {"/x?${query}", "/x?x=1&y=%32&z", "/x?x=1&y=%32&z"},
    {"/x?${arg:none}", "/x", "/x?"},
    {"/${arg:x}${arg:y}${arg:z}", "/1%32", "/1%32"},
    {"${scheme}://${authority}${target}", "https://example.org:81/a%20b/c&d?x=1&y=%32&z",
     "https://example.org:81/a%20b/c&d?x=1&y=%32&z"},
    {"${host}:${port}", "example.org:443", "example.org:443"},
    {"${method}-${client}-${request-id}", "GET-::1-0000000000001234", "GET-::1-0000000000001234"},
    {"${header:x-a}${header:none}", "a%20b", "a b"},
    {"${cookie:t}${cookie:S}", "2", "2"},
    {"$$${1}$2$0", "$a/bc%3Fab", "$a/bc?ab"},
    {"$9", NULL, NULL},
    {"$", NULL, NULL},
    {"$x", NULL, NULL},
    {"${", NULL, NULL},
    {"${}", NULL, NULL},
    {"${path", NULL, NULL},
    {"${pat}", NULL, NULL},
    {"${path:x}", NULL, NULL},
    {"${arg}", NULL, NULL},
    {"${arg:}", NULL, NULL},
    {"${10}", NULL, NULL},
    {"a\nb", NULL, NULL},
    {"\x7f", NULL, NULL},
    {"a b", NULL, "a b"},
    {"<", NULL, "<"},
};

static void test_templates_expand(void **state)
{
    (void)state;
    const struct groups groups = {.v = {SLICE_INIT("ab"), SLICE_INIT("a/b"), SLICE_INIT("c?")},
                                  .n = 3};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory memory;
        struct arena *a = memory_init(&memory);
        struct fields fields = {0};
        struct facts facts = make_facts(a, &fields);
        for (int use = TEMPLATE_TARGET; use <= TEMPLATE_FIELD;
             use += TEMPLATE_FIELD - TEMPLATE_TARGET) {
            const char *wanted = use == TEMPLATE_TARGET ? cases[i].target : cases[i].field;
            struct template t;
            struct template_fault fault;
            struct slice out;
            bool fine = template_compile(slice_str(cases[i].text), (enum template_use)use, 3, a, &t,
                                         &fault);
            if (fine != (wanted != NULL))
                fail_msg("'%s': %s", cases[i].text, fine ? "is accepted" : fault.what);
            if (!fine)
                continue;
            assert_int_equal(template_expand(&t, &facts, &groups, 1000, a, &out), TEMPLATE_OK);
            assert_slice(out, wanted);
            if (out.n > 2 && !template_is_fixed(&t, &out)) /* a '?' that goes is counted */
                assert_int_equal(template_expand(&t, &facts, &groups, strlen(wanted) - 2, a, &out),
                                 TEMPLATE_TOO_LONG);
        }
        memory_fini(&memory);
    }
}

static void test_no_control_character_comes_through(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    for (int c = 0; c < 256; c++) {
        char path[] = {'/', (char)c, 'x'};
        struct facts facts = {.path = slice_of(path, sizeof(path))};
        struct template field, target;
        struct template_fault fault;
        struct slice out;
        bool is_control = (c < ' ' && c != '\t') || c == 0x7f;
        assert_true(template_compile(SLICE("a${path}"), TEMPLATE_FIELD, 0, a, &field, &fault));
        assert_true(template_compile(SLICE("a${path}"), TEMPLATE_TARGET, 0, a, &target, &fault));
        assert_int_equal(template_expand(&field, &facts, NULL, 100, a, &out),
                         is_control ? TEMPLATE_CONTROL : TEMPLATE_OK);
        assert_int_equal(template_expand(&target, &facts, NULL, 100, a, &out), TEMPLATE_OK);
        for (size_t i = 0; i < out.n; i++)
            assert_true(out.p[i] > ' ' && out.p[i] < 0x7f);
    }
    memory_fini(&memory);
}

static void test_values_are_escaped_where_they_are_in_markup_or_json(void **state)
{
    (void)state;
    static const struct {
        enum template_use use;
        const char *wanted;
    } uses[] = {
        {TEMPLATE_TEXT, "<b>\"<a href='x'>&\n\\\"</b>\n"},
        {TEMPLATE_HTML, "<b>\"&lt;a href=&#39;x&#39;&gt;&amp;\n\\\"</b>\n"},
        {TEMPLATE_JSON, "<b>\"<a href='x'>&\\u000a\\\\\"</b>\n"},
    };
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct facts facts = {.path = SLICE("<a href='x'>&\n\\")};
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        struct template t;
        struct template_fault fault;
        struct slice out;
        assert_true(template_compile(SLICE("<b>\"${path}\"</b>\n"), uses[i].use, 0, a, &t, &fault));
        assert_int_equal(template_expand(&t, &facts, NULL, 100, a, &out), TEMPLATE_OK);
        assert_slice(out, uses[i].wanted);
        assert_int_equal(template_expand(&t, &facts, NULL, 17, a, &out), TEMPLATE_TOO_LONG);
    }
    memory_fini(&memory);
}

static void test_groups_need_an_expression(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct template t;
    struct template_fault fault;
    assert_false(template_compile(SLICE("$0"), TEMPLATE_FIELD, TEMPLATE_NO_GROUPS, a, &t, &fault));
    assert_true(template_compile(SLICE("$0"), TEMPLATE_FIELD, 1, a, &t, &fault));
    assert_false(template_compile(SLICE("$1"), TEMPLATE_FIELD, 1, a, &t, &fault));
    char many[3 * (TEMPLATE_SEGMENTS_MAX + 1) + 1] = "";
    for (int i = 0; i <= TEMPLATE_SEGMENTS_MAX; i++)
        strcat(many, "$0");
    assert_false(template_compile(slice_str(many), TEMPLATE_FIELD, 1, a, &t, &fault));
    memory_fini(&memory);
}

static void test_names_in_a_query_are_what_they_mean(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; /* NULL: not there */
    } queries[] = {
        {"a=1&b=2", "b", "2"}, {"%61=1", "a", "1"},   {"a+b=1", "a b", "1"}, {"a", "a", ""},
        {"aa=1", "a", NULL},   {"", "a", NULL},       {"&&a=1", "a", "1"},   {"a=1&a=2", "a", "1"},
        {"%6=1", "%6", "1"},   {"%zz=1", "%zz", "1"}, {"=1", "", "1"},       {"a==", "a", "="},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        struct slice value;
        bool found = query_find(slice_str(queries[i].query), slice_str(queries[i].name), &value);
        assert_int_equal(found, queries[i].value != NULL);
        if (found)
            assert_slice(value, queries[i].value);
    }
    char decoded[16];
    assert_slice(query_decode(SLICE("a%2Bb+c%"), decoded), "a+b c%");
}

/* The page for people names every variable, and says the same of it. */
static void test_every_variable_is_described(void **state)
{
    (void)state;
    static char page[65536];
    FILE *file = fopen(DOC, "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    const char *help, *name;
    for (size_t i = 0; (name = template_variable(i, &help)); i++) {
        char row[256];
        const char *colon = strstr(help, ":NAME: ");
        snprintf(row, sizeof(row), "| `${%s%s}` | %s |", name, colon ? ":NAME" : "",
                 colon ? colon + 7 : help);
        if (!strstr(page, row))
            fail_msg("%s has no row\n%s", DOC, row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates_expand),
        cmocka_unit_test(test_no_control_character_comes_through),
        cmocka_unit_test(test_values_are_escaped_where_they_are_in_markup_or_json),
        cmocka_unit_test(test_groups_need_an_expression),
        cmocka_unit_test(test_names_in_a_query_are_what_they_mean),
        cmocka_unit_test(test_every_variable_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
