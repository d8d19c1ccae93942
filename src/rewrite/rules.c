/* SPDX-License-Identifier: MIT */
#include "rewrite/rules.h"

#include "http/percent.h"
#include "http/status.h"
#include "http/uri.h"

enum { REPLACE_MAX = 200 }; /* matches of a rule, in all fields of a message */

const char *rule_result_text(enum rule_result result)
{
    switch (result) {
    case RULE_SKIPPED: return "does not apply";
    case RULE_APPLIED: return "applies";
    case RULE_COSTLY: return "takes too many steps to match";
    case RULE_CONTROL: return "would write a control character";
    case RULE_TOO_LONG: return "makes a text that is too long";
    case RULE_NO_PATH: return "makes no path of it";
    case RULE_NO_HOST: return "makes no host name";
    }
    return "";
}

static enum rule_result result_of(enum template_result result)
{
    switch (result) {
    case TEMPLATE_OK: return RULE_APPLIED;
    case TEMPLATE_CONTROL: return RULE_CONTROL;
    case TEMPLATE_TOO_LONG: return RULE_TOO_LONG;
    }
    return RULE_APPLIED;
}

static enum rule_result result_of_match(enum regex_result result)
{
    return result == REGEX_YES ? RULE_APPLIED : result == REGEX_NO ? RULE_SKIPPED : RULE_COSTLY;
}

static enum rule_result check(const struct rule *rule, const struct facts *f)
{
    const struct cond *missed;
    if (!rule->match.count)
        return RULE_APPLIED;
    return result_of_match(match_facts(&rule->match, f, &missed));
}

/* ---- targets ---- */

/* The new path is normal form and raw form at once: what the backend reads is what was matched. */
static enum rule_result set_path(struct slice raw, struct facts *f, struct target *t,
                                 struct arena *a)
{
    struct fault fault;
    if (!slice_starts(raw, SLICE("/")) ||
        uri_normalise_path(raw, a, &f->path, &fault) != PARSE_DONE)
        return RULE_NO_PATH;
    t->path = f->path.p == raw.p ? raw : percent_encode(f->path, PERCENT_PATH, a);
    return RULE_APPLIED;
}

static void set_query(struct slice query, struct facts *f, struct target *t)
{
    t->query = f->query = query;
    t->has_query = query.n > 0;
}

static enum rule_result apply_rewrite(const struct rule *rule, struct facts *f, struct target *t,
                                      size_t max, struct arena *a)
{
    struct groups groups;
    struct slice out;
    enum rule_result result = result_of_match(regex_find(rule->regex, f->path, 0, &groups));
    if (result != RULE_APPLIED)
        return result;
    result = result_of(template_expand(&rule->value, f, &groups, max, a, &out));
    if (result != RULE_APPLIED)
        return result;
    size_t mark = slice_find(out, '?');
    result = set_path(slice_first(out, mark), f, t, a);
    if (result != RULE_APPLIED || mark == out.n)
        return result;
    struct slice query = slice_skip(out, mark + 1);
    if (rule->appends && t->query.n)
        query = query.n ? arena_printf(a, SLICE_FMT "&" SLICE_FMT, SLICE_ARG(query),
                                       SLICE_ARG(t->query))
                        : t->query;
    set_query(query, f, t);
    return RULE_APPLIED;
}

static bool is_beneath(struct slice path, struct slice prefix)
{
    return slice_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* Whether nothing in a raw path changes when it is made normal, but single encoded characters. */
static bool is_plain(struct slice raw)
{
    for (size_t i = 0; i + 1 < raw.n; i++) {
        char c = raw.p[i], next = raw.p[i + 1];
        if (c == '/' && (next == '/' || next == '.'))
            return false;
        if (c == '%' && next == '2' && i + 2 < raw.n && (raw.p[i + 2] | 0x20) == 'e')
            return false;
    }
    return true;
}

static struct slice path_behind(struct slice path, size_t n)
{
    return n < path.n ? slice_skip(path, n) : SLICE("/");
}

static enum rule_result apply_strip(const struct rule *rule, struct facts *f, struct target *t,
                                    struct arena *a)
{
    struct slice prefix = rule->name;
    if (!is_beneath(f->path, prefix))
        return RULE_SKIPPED;
    f->path = path_behind(f->path, prefix.n);
    t->path = is_plain(t->path) && is_beneath(t->path, prefix)
                  ? path_behind(t->path, prefix.n)
                  : percent_encode(f->path, PERCENT_PATH, a);
    t->mount.prefix = f->prefix =
        t->mount.prefix.n ? arena_join(a, t->mount.prefix, prefix) : prefix;
    return RULE_APPLIED;
}

static enum rule_result apply_prepend(const struct rule *rule, struct facts *f, struct target *t,
                                      size_t max, struct arena *a)
{
    struct slice prefix = rule->name;
    if (t->path.n + prefix.n > max)
        return RULE_TOO_LONG;
    t->path = is_plain(t->path) ? t->path : percent_encode(f->path, PERCENT_PATH, a);
    t->path = arena_join(a, prefix, t->path);
    f->path = arena_join(a, prefix, f->path);
    t->mount.prepended = arena_join(a, prefix, t->mount.prepended);
    return RULE_APPLIED;
}

static enum rule_result apply_text(const struct rule *rule, struct facts *f, struct target *t,
                                   size_t max, struct arena *a)
{
    struct slice out, host;
    int port;
    enum rule_result result = result_of(template_expand(&rule->value, f, f->groups, max, a, &out));
    if (result != RULE_APPLIED)
        return result;
    if (rule->kind == RULE_QUERY) {
        set_query(out, f, t);
        return RULE_APPLIED;
    }
    if (!uri_split_authority(out, &host, &port))
        return RULE_NO_HOST;
    t->mount.host = out;
    return RULE_APPLIED;
}

enum rule_result rule_apply_target(const struct rule *rule, struct facts *f, struct target *t,
                                   size_t max, struct arena *a)
{
    bool has_path = slice_starts(f->path, SLICE("/")); /* OPTIONS * has none (RFC 9112 3.2.4) */
    enum rule_result result = has_path || rule->kind == RULE_HOST ? check(rule, f) : RULE_SKIPPED;
    if (result != RULE_APPLIED)
        return result;
    switch ((enum rule_kind)rule->kind) {
    case RULE_REWRITE: return apply_rewrite(rule, f, t, max, a);
    case RULE_STRIP: return apply_strip(rule, f, t, a);
    case RULE_PREPEND: return apply_prepend(rule, f, t, max, a);
    case RULE_QUERY:
    case RULE_HOST: return apply_text(rule, f, t, max, a);
    case RULE_SET:
    case RULE_ADD:
    case RULE_REMOVE:
    case RULE_REPLACE:
    case RULE_STATUS: break;
    }
    return RULE_SKIPPED;
}

enum rule_result rules_apply_target(const struct rule_list *rules, struct facts *f,
                                    struct target *t, size_t max, struct arena *a,
                                    const struct rule **failed)
{
    enum rule_result all = RULE_SKIPPED;
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct rule *rule = &rules->v[i];
        enum rule_result result = rule_apply_target(rule, f, t, max, a);
        if (result == RULE_SKIPPED)
            continue;
        all = result;
        *failed = rule;
        if (result != RULE_APPLIED || rule->is_last)
            break;
    }
    return all;
}

/* ---- fields ---- */

/* A name that ends in '*' stands for all that begin so. */
static bool is_named(const struct rule *rule, const struct field *f)
{
    struct slice name = rule->name;
    if (f->dropped)
        return false;
    if (!slice_ends(name, SLICE("*")))
        return rule->id == f->id && (rule->id != FIELD_OTHER || slice_ieq(f->name, name));
    return slice_ieq(slice_first(f->name, name.n - 1), slice_first(name, name.n - 1));
}

/* Nor may another spelling come through that an application takes for the same. */
static bool is_taken_for(const struct rule *rule, const struct field *f)
{
    return !f->dropped && f->id == FIELD_OTHER && field_is_alike(f->name, rule->name);
}

static bool drop(const struct rule *rule, struct fields *fs)
{
    bool found = false;
    for (unsigned i = 0; i < fs->n; i++)
        if (is_named(rule, &fs->v[i]) || is_taken_for(rule, &fs->v[i]))
            found = fs->v[i].dropped = true;
    if (found && rule->id != FIELD_OTHER)
        fields_drop(fs, rule->id);
    return found;
}

static void add(const struct rule *rule, struct fields *fs, struct slice value, struct arena *a)
{
    fields_add(fs, a, rule->id, rule->name, value);
}

/* What comes out empty is left out: a field without a value says nothing. */
static enum rule_result apply_value(const struct rule *rule, const struct facts *f,
                                    struct fields *fs, size_t max, struct arena *a)
{
    struct slice value;
    enum rule_result result =
        result_of(template_expand(&rule->value, f, f->groups, max, a, &value));
    if (result != RULE_APPLIED)
        return result;
    bool dropped = rule->kind == RULE_SET && drop(rule, fs);
    if (value.n)
        add(rule, fs, value, a);
    return value.n || dropped ? RULE_APPLIED : RULE_SKIPPED;
}

/* A value under replacement: what stays and what comes in its place, in turn. */
struct pieces {
    struct slice v[2 * REPLACE_MAX + 1];
    unsigned n;
    size_t bytes;
};

static void put_piece(struct pieces *p, struct slice s)
{
    p->v[p->n++] = s;
    p->bytes += s.n;
}

static enum rule_result replace(const struct rule *rule, const struct facts *f, struct slice value,
                                size_t max, unsigned *matches, struct arena *a, struct pieces *p)
{
    size_t kept = 0, from = 0; /* where what is not yet put begins, and where to look next */
    p->n = 0;
    p->bytes = 0;
    while (from <= value.n) {
        struct groups groups;
        struct slice new;
        enum regex_result found = regex_find(rule->regex, value, from, &groups);
        if (found == REGEX_GAVE_UP)
            return RULE_COSTLY;
        if (found == REGEX_NO)
            break;
        if (++*matches > REPLACE_MAX) /* a part of them would be worse than none */
            return RULE_COSTLY;
        enum rule_result result =
            result_of(template_expand(&rule->value, f, &groups, max, a, &new));
        if (result != RULE_APPLIED)
            return result;
        size_t start = groups.v[0].p ? (size_t)(groups.v[0].p - value.p) : from;
        put_piece(p, slice_of(value.p + kept, start - kept));
        put_piece(p, new);
        if (p->bytes > max)
            return RULE_TOO_LONG;
        kept = start + groups.v[0].n;
        from = groups.v[0].n ? kept : kept + 1;
    }
    if (!p->n)
        return RULE_SKIPPED;
    put_piece(p, slice_skip(value, kept));
    return p->bytes > max ? RULE_TOO_LONG : RULE_APPLIED;
}

static struct slice together(const struct pieces *p, struct arena *a)
{
    char *start = arena_alloc(a, p->bytes + 1), *end = start;
    for (unsigned i = 0; i < p->n; i++)
        end = slice_put(end, p->v[i]);
    return slice_of(start, (size_t)(end - start));
}

/* The changed line comes behind the others, so that the ones that came can be told from ours. */
static enum rule_result apply_replace(const struct rule *rule, const struct facts *f,
                                      struct fields *fs, size_t max, struct arena *a)
{
    enum rule_result all = RULE_SKIPPED;
    unsigned n = fs->n, matches = 0;
    for (unsigned i = 0; i < n; i++) {
        struct pieces pieces;
        if (!is_named(rule, &fs->v[i]))
            continue;
        struct slice value = fs->v[i].value.p ? fs->v[i].value : SLICE("");
        enum rule_result result = replace(rule, f, value, max, &matches, a, &pieces);
        if (result == RULE_SKIPPED)
            continue;
        if (result != RULE_APPLIED)
            return result;
        struct field old = fs->v[i];
        fs->v[i].dropped = true;
        if (pieces.bytes)
            fields_add(fs, a, old.id, old.name, together(&pieces, a));
        all = RULE_APPLIED;
    }
    return all;
}

enum rule_result rule_apply_fields(const struct rule *rule, const struct facts *f,
                                   struct fields *fs, size_t max, struct arena *a)
{
    enum rule_result result = check(rule, f);
    if (result != RULE_APPLIED)
        return result;
    switch ((enum rule_kind)rule->kind) {
    case RULE_SET:
    case RULE_ADD: return apply_value(rule, f, fs, max, a);
    case RULE_REMOVE: return drop(rule, fs) ? RULE_APPLIED : RULE_SKIPPED;
    case RULE_REPLACE: return apply_replace(rule, f, fs, max, a);
    case RULE_REWRITE:
    case RULE_STRIP:
    case RULE_PREPEND:
    case RULE_QUERY:
    case RULE_HOST:
    case RULE_STATUS: break;
    }
    return RULE_SKIPPED;
}

enum rule_result rules_apply_fields(const struct rule_list *rules, const struct facts *f,
                                    struct fields *fs, size_t max, struct arena *a,
                                    const struct rule **failed)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        enum rule_result result = rule_apply_fields(&rules->v[i], f, fs, max, a);
        *failed = &rules->v[i];
        if (result > RULE_APPLIED)
            return result;
    }
    return RULE_APPLIED;
}

enum rule_result rule_apply_response(const struct rule *rule, struct facts *f,
                                     struct response_head *head, size_t max, struct arena *a)
{
    f->answer = &head->fields;
    f->status = head->status;
    if (rule->kind != RULE_STATUS)
        return rule_apply_fields(rule, f, &head->fields, max, a);
    if (head->status < 200 || head->status == 204 || head->status == 304)
        return RULE_SKIPPED; /* has no body, and cannot become what has one */
    enum rule_result result = check(rule, f);
    if (result != RULE_APPLIED)
        return result;
    head->status = rule->status;
    head->reason = slice_str(status_reason(rule->status));
    return RULE_APPLIED;
}
