/* From text to tree: each case is shown as a line of its own, "name(args)[options]{block}".
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/ast.h"
#include "memory_loader.h"
#include "report_case.h"

static struct slice show(struct arena *a, const struct directive *d)
{
    struct slice s = SLICE("");
    for (; d; d = d->next) {
        s = arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(s), s.n ? " " : "",
                         SLICE_ARG(d->name.text));
        for (uint32_t i = 0; i < d->arg_count; i++)
            s = arena_printf(a, SLICE_FMT "(" SLICE_FMT ")", SLICE_ARG(s),
                             SLICE_ARG(d->args[i].text));
        for (uint32_t i = 0; i < d->option_count; i++)
            s = arena_printf(a, SLICE_FMT "[" SLICE_FMT "=" SLICE_FMT "]", SLICE_ARG(s),
                             SLICE_ARG(d->options[i].option), SLICE_ARG(d->options[i].text));
        if (d->has_block) {
            struct slice inner = show(a, d->block);
            s = arena_printf(a, SLICE_FMT "{" SLICE_FMT "}", SLICE_ARG(s), SLICE_ARG(inner));
        }
    }
    return s;
}

struct parsed {
    struct buf_pool memory;
    struct arena arena;
    struct config_diag diag;
    struct directive *first;
    bool is_whole;
};

static void parse(struct parsed *p, const char *text)
{
    buf_pool_init(&p->memory, 0);
    arena_init(&p->arena, &p->memory);
    config_diag_init(&p->diag);
    p->is_whole = config_parse_text(SLICE("t"), slice_str(text), &memory_loader, &p->arena,
                                    &p->diag, &p->first);
}

static void parsed_fini(struct parsed *p)
{
    config_diag_fini(&p->diag);
    arena_fini(&p->arena);
    buf_pool_fini(&p->memory);
}

static void test_texts_become_trees(void **state)
{
    (void)state;
    static const struct {
        const char *text, *tree;
    } cases[] = {
        {"", ""},
        {"\n\n  \n# only a comment\n", ""},
        {"a", "a"},
        {"a b c\n", "a(b)(c)"},
        {"a b # c\r\nd\r\n", "a(b) d"},
        {"\xef\xbb\xbf"
         "a b",
         "a(b)"},
        {"a x=1 b y=2", "a(b)[x=1][y=2]"},
        {"a \"x=1\" X=2 ^x=3 x-y=z=4", "a(x=1)(X=2)(^x=3)[x-y=z=4]"},
        {"a x=\"b c\"d", "a[x=b cd]"},
        {"a {\nb\n}\n", "a{b}"},
        {"a {}", "a{}"},
        {"a { b }", "a{b}"},
        {"a {b c}", "a{b(c)}"},
        {"a { b; c d; e { f } }", "a{b c(d) e{f}}"},
        {"a; b;; c", "a b c"},
        {"a { b; }", "a{b}"},
        {"a x{ b }", "a(x){b}"},
        {"a /\\d{4}/{2,3}$ { b }", "a(/\\d{4}/{2,3}$){b}"},
        {"a ^/(x|y)$ b#c", "a(^/(x|y)$)(b#c)"},
        {"a \"b c\" \"\" \"x\\\"y\\\\z\\n\\t\\$\"", "a(b c)()(x\"y\\z\n\t$)"},
        {"a \"; { } #\"", "a(; { } #)"},
        {"listen ${PORT}", "listen(8080)"},
        {"a x${PORT}y \"<${PORT}>\" k=${PORT}", "a(x8080y)(<8080>)[k=8080]"},
        {"a ${NONE:-x y} ${EMPTY:-z} ${PORT:-0}", "a(x y)(z)(8080)"},
        {"a ${EMPTY} $1 $ \\$", "a()($1)($)(\\$)"},
        {"a \"\\${PORT}\" \"$PORT\"", "a(${PORT})($PORT)"},
        {"x\ninclude *.conf\ny", "x alpha(1) beta{inner} y"},
        {"x { include a.conf }", "x{alpha(1)}"},
        {"include none*", ""},
        {"\xc3\xa9t\xc3\xa9 \xe2\x82\xac", "\xc3\xa9t\xc3\xa9(\xe2\x82\xac)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        parse(&p, cases[i].text);
        struct slice report = config_diag_print(&p.diag, &p.arena);
        if (report.n)
            print_message("%s\n", report.p);
        assert_true(p.is_whole);
        assert_int_equal(p.diag.errors, 0);
        struct slice tree = show(&p.arena, p.first);
        assert_string_equal(arena_dup(&p.arena, tree).p, cases[i].tree);
        parsed_fini(&p);
    }
}

/* clang-format off */
static const struct report_case faults[] = {
#include "ast_faults.def"
};
/* clang-format on */

static void test_faults_are_pointed_at(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct parsed p;
        parse(&p, faults[i].text);
        struct slice report = config_diag_print(&p.diag, &p.arena);
        if (!report_is_shown(&faults[i], p.is_whole, report.p)) {
            assert_string_equal(report.p, faults[i].report);
            assert_int_equal(p.is_whole, faults[i].ok);
        }
        parsed_fini(&p);
    }
}

static void test_places_are_kept(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, "\n  a \"b\"c k=v\n\t{\n");
    parsed_fini(&p);
    parse(&p, "\n  a \"b\"c k=v\ninclude b.conf");
    const struct directive *a = p.first, *beta = a->next;
    assert_int_equal(a->name.at.line, 2);
    assert_int_equal(a->name.at.column, 3);
    assert_int_equal(a->args[0].at.column, 5);
    assert_int_equal(a->options[0].at.column, 10);
    assert_int_equal(a->options[0].text_at.column, 12);
    assert_int_equal(beta->block->name.at.line, 2);
    assert_string_equal(beta->name.at.file->path.p, "b.conf");
    assert_string_equal(beta->name.at.file->from->path.p, "t");
    parsed_fini(&p);
}

static void test_deep_nesting_is_refused_not_crashed(void **state)
{
    (void)state;
    char text[10000] = "";
    for (int i = 0; i < 4000; i += 2)
        memcpy(text + i, "a{", 2);
    struct parsed p;
    parse(&p, text);
    assert_false(p.is_whole);
    assert_int_equal(p.diag.errors, 1);
    assert_string_equal(p.diag.first->what.p, "blocks are nested too deeply");
    parsed_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_become_trees),
        cmocka_unit_test(test_faults_are_pointed_at),
        cmocka_unit_test(test_places_are_kept),
        cmocka_unit_test(test_deep_nesting_is_refused_not_crashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
