/* SPDX-License-Identifier: MIT */
#include "rewrite/template.h"

#include "base/num.h"
#include "base/text.h"
#include "config/diag.h"
#include "config/schema.h"
#include "config/suggest.h"
#include "http/cookie.h"
#include "http/percent.h"
#include "http/query.h"

enum variable {
    VAR_LITERAL,
    VAR_GROUP,
#define VARIABLE(id, name, takes_name, is_raw, help) VAR_##id,
#include "rewrite/template.def"
#undef VARIABLE
    VARIABLES
};

static const struct {
    const char *name;
    bool takes_name, is_raw;
    const char *help;
} variables[] = {
    [VAR_LITERAL] = {"", false, true, ""},
    [VAR_GROUP] = {"", false, false, ""},
#define VARIABLE(id, name, takes_name, is_raw, help) [VAR_##id] = {name, takes_name, is_raw, help},
#include "rewrite/template.def"
#undef VARIABLE
};

const char *template_variable(size_t i, const char **help)
{
    if (i + VAR_GROUP + 1 >= VARIABLES)
        return NULL;
    *help = variables[i + VAR_GROUP + 1].help;
    return variables[i + VAR_GROUP + 1].name;
}

/* ---- compiling ---- */

struct compiler {
    struct arena *arena;
    struct template *out;
    struct template_fault *fault;
    uint32_t groups;
    struct segment segments[TEMPLATE_SEGMENTS_MAX];
};

static bool fail(struct compiler *c, struct slice at, const char *what, const char *hint)
{
    c->fault->what = what;
    c->fault->hint = hint;
    c->fault->at = at;
    return false;
}

static bool add(struct compiler *c, struct segment s)
{
    if (c->out->count == TEMPLATE_SEGMENTS_MAX)
        return fail(c, s.text, "there are too many variables in this text", NULL);
    c->segments[c->out->count++] = s;
    c->out->needs_port |= s.variable == VAR_PORT;
    c->out->needs_group |= s.variable == VAR_GROUP;
    return true;
}

/* What a URL may have in it as it stands (RFC 3986 2), '%' included. */
static bool is_url_char(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '^' &&
           c != '`' && c != '{' && c != '|' && c != '}';
}

static bool add_literal(struct compiler *c, struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char byte = (unsigned char)text.p[i];
        bool is_control = (byte < ' ' && byte != '\t') || byte == 0x7f;
        if (is_control && c->out->use <= TEMPLATE_FIELD)
            return fail(c, SLICE_NONE, "a control character has no place in this text", NULL);
        if (c->out->use == TEMPLATE_PATH && byte == '#')
            return fail(c, slice_of(text.p + i, 1), "a request has no fragment", NULL);
        if (c->out->use <= TEMPLATE_QUERY && !is_url_char(byte))
            return fail(c, slice_of(text.p + i, 1), "this character has to be encoded in a URL",
                        "write %20 for a blank, and the like");
    }
    return text.n == 0 || add(c, (struct segment){.variable = VAR_LITERAL, .text = text});
}

static bool add_group(struct compiler *c, struct slice at, char digit)
{
    uint8_t group = (uint8_t)(digit - '0');
    if (c->groups == TEMPLATE_NO_GROUPS)
        return fail(c, at, "there is no regular expression that this could refer to",
                    "give the route one: route ~ ^/(.*)$");
    if (group >= c->groups)
        return fail(c, at, "the regular expression has no such group",
                    "groups are what stands in parentheses");
    return add(c, (struct segment){.variable = VAR_GROUP, .group = group, .text = at});
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* inner: what stands between the braces. */
static bool add_variable(struct compiler *c, struct slice inner)
{
    size_t colon = slice_find(inner, ':');
    struct slice name = slice_first(inner, colon);
    if (inner.n == 1 && is_digit(inner.p[0]))
        return add_group(c, inner, inner.p[0]);
    for (unsigned v = VAR_GROUP + 1; v < VARIABLES; v++) {
        if (!slice_eq(name, slice_str(variables[v].name)))
            continue;
        if (variables[v].takes_name != (colon + 1 < inner.n))
            return fail(c, inner,
                        variables[v].takes_name ? "this variable needs a name" : "it takes no name",
                        variables[v].takes_name ? "write ${arg:NAME}, ${header:NAME}" : NULL);
        struct slice arg = variables[v].takes_name ? slice_skip(inner, colon + 1) : SLICE_NONE;
        return add(c, (struct segment){.variable = (uint8_t)v, .text = arena_dup(c->arena, arg)});
    }
    c->fault->is_unknown = true;
    return fail(c, name, "unknown variable", NULL);
}

/* rest begins with '$'; what is taken comes off. */
static bool take_dollar(struct compiler *c, struct slice *rest)
{
    struct slice text = slice_skip(*rest, 1);
    if (slice_starts(text, SLICE("$"))) {
        *rest = slice_skip(text, 1);
        return add(c, (struct segment){.variable = VAR_LITERAL, .text = SLICE("$")});
    }
    if (text.n && is_digit(text.p[0])) {
        *rest = slice_skip(text, 1);
        return add_group(c, slice_first(text, 1), text.p[0]);
    }
    struct slice inner = slice_skip(text, slice_starts(text, SLICE("{")) ? 1 : 0);
    size_t end = slice_find(inner, '}');
    if (inner.p == text.p || end == inner.n)
        return fail(c, slice_first(*rest, 2), "a lone dollar sign", "write $$ for one");
    *rest = slice_skip(inner, end + 1);
    return add_variable(c, slice_first(inner, end));
}

bool template_compile(struct slice text, enum template_use use, uint32_t groups, struct arena *a,
                      struct template *out, struct template_fault *fault)
{
    struct compiler c = {.arena = a, .out = out, .fault = fault, .groups = groups};
    struct slice rest = arena_dup(a, text);
    *out = (struct template){.use = (uint8_t)use};
    *fault = (struct template_fault){0};
    while (rest.n) {
        size_t dollar = slice_find(rest, '$');
        if (!add_literal(&c, slice_first(rest, dollar)))
            return false;
        rest = slice_skip(rest, dollar);
        if (rest.n && !take_dollar(&c, &rest))
            return false;
    }
    out->segments = arena_alloc(a, (out->count + 1u) * sizeof(*out->segments));
    memcpy(out->segments, c.segments, out->count * sizeof(*out->segments));
    return true;
}

static const char *hint_for(const struct template_fault *fault, struct arena *a)
{
    struct suggest near = suggest_for(fault->at);
    for (unsigned v = VAR_GROUP + 1; v < VARIABLES; v++)
        suggest_try(&near, variables[v].name);
    if (!fault->is_unknown || !near.best)
        return fault->hint;
    return arena_printf(a, "did you mean '%s'?", near.best).p;
}

bool template_read(struct config_reader *r, const struct config_word *word, enum template_use use,
                   uint32_t groups, struct template *out)
{
    struct template_fault fault;
    if (template_compile(word->text, use, groups, r->arena, out, &fault))
        return true;
    const char *hint = hint_for(&fault, r->arena);
    if (!fault.at.n)
        return config_error(r->diag, word->text_at, "%s", fault.what);
    return config_error(r->diag, word->text_at, "'" SLICE_FMT "' in '" SLICE_FMT "': %s%s%s",
                        SLICE_ARG(fault.at), SLICE_ARG(word->text), fault.what, hint ? "\n" : "",
                        hint ? hint : "");
}

bool template_is_fixed(const struct template *t, struct slice *out)
{
    *out = t->count ? t->segments[0].text : SLICE_NONE;
    return t->count == 0 || (t->count == 1 && t->segments[0].variable == VAR_LITERAL);
}

bool template_begins(const struct template *t, char c)
{
    return t->count && (t->segments[0].variable != VAR_LITERAL || t->segments[0].text.p[0] == c);
}

/* ---- expanding ---- */

static struct slice named(const struct fields *fs, struct slice name)
{
    for (unsigned i = 0; fs && i < fs->n; i++)
        if (!fs->v[i].dropped && slice_ieq(fs->v[i].name, name))
            return fs->v[i].value;
    return SLICE_NONE;
}

static struct slice decimal(char digits[NUM_DEC_MAX], uint64_t n)
{
    return n ? slice_of(digits, num_put_dec(digits, n)) : SLICE_NONE;
}

/* As it stands in a URL: an address of IPv6 keeps its brackets (RFC 3986 3.2.2). */
static struct slice host_of(const struct facts *f)
{
    if (slice_find(f->host, ':') == f->host.n || !slice_starts(f->authority, SLICE("[")))
        return f->host;
    return slice_first(f->authority, slice_find(f->authority, ']') + 1);
}

/* scratch: for values that are made; valid until the next. */
static struct slice value_of(const struct segment *s, const struct facts *f,
                             const struct groups *groups, char scratch[TEXT_ID_LEN + NUM_DEC_MAX])
{
    struct slice value = SLICE_NONE;
    struct text t = text_of(scratch, TEXT_ID_LEN);
    switch ((enum variable)s->variable) {
    case VAR_LITERAL: return s->text;
    case VAR_GROUP: return groups && s->group < groups->n ? groups->v[s->group] : SLICE_NONE;
    case VAR_PATH: return f->path;
    case VAR_QUERY: return f->query;
    case VAR_TARGET: return f->target;
    case VAR_HOST: return host_of(f);
    case VAR_AUTHORITY: return f->authority;
    case VAR_METHOD: return f->method;
    case VAR_SCHEME: return f->scheme;
    case VAR_CLIENT: return f->client_text;
    case VAR_PORT: return decimal(scratch, f->port);
    case VAR_REQUEST_ID: text_id(&t, f->id); return text_slice(&t);
    case VAR_SITE: return f->site;
    case VAR_POOL: return f->pool;
    case VAR_PREFIX: return f->prefix;
    case VAR_STATUS: return decimal(scratch, f->status);
    case VAR_ARG: query_find(f->query, s->text, &value); return value;
    case VAR_HEADER: return named(f->fields, s->text);
    case VAR_COOKIE:
        if (f->fields)
            cookie_find(f->fields, s->text, &value);
        return value;
    case VAR_ANSWER: return named(f->answer, s->text);
    case VARIABLES: break;
    }
    return value;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

/* What a client sends is text there, and neither markup nor the end of a string. */
static struct slice escaped(const struct template *t, struct slice value, struct arena *a)
{
    size_t most = value.n * strlen("\\u00XX");
    struct text out = text_of(arena_alloc(a, most + 1), most);
    if (t->use == TEMPLATE_HTML)
        text_html(&out, value);
    else
        text_json(&out, value, most);
    return text_slice(&out);
}

/* A '?' with nothing behind it, where the query that was to come is empty, goes. */
static struct slice without_mark(const struct template *t, struct slice s)
{
    if (t->use <= TEMPLATE_PATH && slice_ends(s, SLICE("?")))
        s.n--;
    return s;
}

enum template_result template_expand(const struct template *t, const struct facts *f,
                                     const struct groups *groups, size_t max, struct arena *a,
                                     struct slice *out)
{
    if (template_is_fixed(t, out))
        return out->n > max ? TEMPLATE_TOO_LONG : TEMPLATE_OK;
    char scratch[TEMPLATE_SEGMENTS_MAX][TEXT_ID_LEN + NUM_DEC_MAX];
    struct slice values[TEMPLATE_SEGMENTS_MAX];
    size_t lengths[TEMPLATE_SEGMENTS_MAX];
    bool encodes[TEMPLATE_SEGMENTS_MAX];
    enum percent_part parts[TEMPLATE_SEGMENTS_MAX];
    enum percent_part part = t->use == TEMPLATE_QUERY ? PERCENT_QUERY : PERCENT_PATH;
    size_t n = 0;
    for (unsigned i = 0; i < t->count; i++) {
        const struct segment *s = &t->segments[i];
        values[i] = value_of(s, f, groups, scratch[i]);
        if (values[i].n > max)
            return TEMPLATE_TOO_LONG;
        if (t->use >= TEMPLATE_HTML && s->variable != VAR_LITERAL)
            values[i] = escaped(t, values[i], a);
        encodes[i] = t->use <= TEMPLATE_QUERY && !variables[s->variable].is_raw;
        parts[i] = part;
        if (s->variable == VAR_LITERAL && slice_find(s->text, '?') < s->text.n)
            part = PERCENT_QUERY;
        if (t->use == TEMPLATE_FIELD && has_control(values[i]))
            return TEMPLATE_CONTROL;
        lengths[i] = encodes[i] ? percent_length(values[i], parts[i]) : values[i].n;
        encodes[i] = lengths[i] != values[i].n;
        n += lengths[i];
        if (n > max)
            return TEMPLATE_TOO_LONG;
    }
    char *p = arena_alloc(a, n + 1), *start = p;
    for (unsigned i = 0; i < t->count; i++)
        p = encodes[i] ? percent_put(p, values[i], parts[i]) : slice_put(p, values[i]);
    *out = without_mark(t, slice_of(start, n));
    return TEMPLATE_OK;
}
