/* Whatever a template is and whatever a request brings: no control character comes out, nothing
 * that has to be encoded stands in a target, and what a rule makes of a path is a path in normal
 * form.
 *
 * Lines: the template, the path, the query, a field's value.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/uri.h"
#include "rewrite/rules.h"

enum { MOST = 500 };

static struct slice take_line(struct slice *rest)
{
    size_t end = slice_find(*rest, '\n');
    struct slice line = slice_first(*rest, end);
    *rest = slice_skip(*rest, end < rest->n ? end + 1 : end);
    return line;
}

static bool is_clean(struct slice s, char from)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < from && s.p[i] >= 0 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

/* A query is checked where a request is read: what is not one stands in none. */
static struct slice checked_query(struct slice query)
{
    for (size_t i = 0; i < query.n; i++)
        if (query.p[i] <= ' ' || query.p[i] >= 0x7f || query.p[i] == '#')
            return SLICE_NONE;
    return query;
}

static void check_rule(const struct template *t, struct regex *regex, struct facts f,
                       struct arena *a)
{
    struct rule rule = {.kind = RULE_REWRITE, .regex = regex, .value = *t};
    struct target target = {.path = f.path, .query = f.query, .has_query = f.query.n > 0};
    struct slice again;
    struct fault fault;
    if (uri_normalise_path(f.path, a, &f.path, &fault) != PARSE_DONE ||
        rule_apply_target(&rule, &f, &target, MOST, a) != RULE_APPLIED)
        return;
    HOLDS(target.path.n && target.path.p[0] == '/' && is_clean(target.path, '!'));
    HOLDS(uri_normalise_path(target.path, a, &again, &fault) == PARSE_DONE);
    HOLDS(slice_eq(again, f.path));
    HOLDS(is_clean(target.query, '!'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf_pool pool;
    struct arena arena;
    struct fields fields = {0};
    struct slice rest = slice_of(data, size), text = take_line(&rest), out;
    char error[REGEX_ERROR_MAX];
    size_t offset;
    struct regex *list = NULL, *regex = regex_new(SLICE("^/([^/]*)/?(.*)$"), &list, error, &offset);
    buf_pool_init(&pool, 0);
    arena_init(&arena, &pool);
    struct facts f = {.path = take_line(&rest), .query = checked_query(take_line(&rest))};
    struct slice value = rest;
    fields_add(&fields, &arena, FIELD_COOKIE, SLICE("Cookie"), value);
    fields_add(&fields, &arena, FIELD_OTHER, SLICE("X-A"), value);
    f.fields = &fields;
    for (int use = TEMPLATE_TARGET; use <= TEMPLATE_JSON; use++) {
        struct template t;
        struct template_fault fault;
        struct groups groups = {0};
        if (!template_compile(text, (enum template_use)use, 3, &arena, &t, &fault)) {
            HOLDS(fault.what != NULL);
            continue;
        }
        regex_find(regex, f.path, 0, &groups);
        if (template_expand(&t, &f, &groups, MOST, &arena, &out) == TEMPLATE_OK) {
            HOLDS(out.n <= MOST);
            HOLDS(use > TEMPLATE_FIELD || is_clean(out, use == TEMPLATE_FIELD ? ' ' : '!'));
        }
        if (use == TEMPLATE_PATH)
            check_rule(&t, regex, f, &arena);
    }
    regex_free_all(list);
    arena_fini(&arena);
    buf_pool_fini(&pool);
    return 0;
}
