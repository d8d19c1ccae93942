/* SPDX-License-Identifier: MIT */
#include "rewrite/match.h"

#include "base/num.h"
#include "config/address.h"
#include "config/diag.h"
#include "config/hostname.h"
#include "http/cookie.h"
#include "http/query.h"

struct status_range {
    uint16_t from, to;
};

enum { DECODED_MAX = 8192 }; /* bytes of a query's value that an expression looks at */

/* ---- testing ---- */

static enum regex_result result_if(bool yes)
{
    return yes ? REGEX_YES : REGEX_NO;
}

static bool has_slice(const struct cond *c, struct slice s)
{
    const struct slice *items = c->items;
    for (uint32_t i = 0; i < c->count; i++)
        if (slice_eq(items[i], s))
            return true;
    return false;
}

static bool is_host(struct slice want, struct slice host)
{
    if (want.n == 0 || want.p[0] != '*')
        return slice_ieq(want, host);
    want = slice_skip(want, 1);
    return host.n > want.n && slice_ieq(want, slice_skip(host, host.n - want.n));
}

static enum regex_result has_host(const struct cond *c, struct slice host)
{
    const struct text_match *items = c->items;
    for (uint32_t i = 0; i < c->count; i++) {
        enum regex_result found = items[i].regex ? regex_match(items[i].regex, host)
                                                 : result_if(is_host(items[i].value, host));
        if (found != REGEX_NO)
            return found;
    }
    return REGEX_NO;
}

static enum regex_result means(const struct text_match *m, struct slice value)
{
    if (m->regex)
        return regex_match(m->regex, value);
    return result_if(!m->has_value || slice_eq(value, m->value));
}

static enum regex_result has_header(const struct text_match *m, const struct fields *fs)
{
    for (uint32_t i = 0; fs && i < fs->n; i++) {
        const struct field *f = &fs->v[i];
        enum regex_result found =
            f->dropped || !slice_ieq(f->name, m->name) ? REGEX_NO : means(m, f->value);
        if (found != REGEX_NO)
            return found;
    }
    return REGEX_NO;
}

static enum regex_result has_cookie(const struct text_match *m, const struct fields *fs)
{
    struct slice value;
    return fs && cookie_find(fs, m->name, &value) ? means(m, value) : REGEX_NO;
}

static enum regex_result query_value(const struct text_match *m, struct slice sent)
{
    char decoded[DECODED_MAX];
    if (!m->regex)
        return result_if(!m->has_value || query_means(sent, m->value));
    if (sent.n > sizeof(decoded))
        return REGEX_GAVE_UP;
    return regex_match(m->regex, query_decode(sent, decoded));
}

static enum regex_result has_query(const struct text_match *m, struct slice query)
{
    struct slice name, value;
    while (query_next(&query, &name, &value)) {
        enum regex_result found = query_means(name, m->name) ? query_value(m, value) : REGEX_NO;
        if (found != REGEX_NO)
            return found;
    }
    return REGEX_NO;
}

static bool has_status(const struct cond *c, uint16_t status)
{
    const struct status_range *items = c->items;
    for (uint32_t i = 0; i < c->count; i++)
        if (status >= items[i].from && status <= items[i].to)
            return true;
    return false;
}

static enum regex_result test(const struct cond *c, const struct facts *f)
{
    switch ((enum cond_kind)c->kind) {
    case COND_METHOD: return result_if(has_slice(c, f->method));
    case COND_HOST: return has_host(c, f->host);
    case COND_CLIENT: return result_if(cidr_any_has(c->items, c->count, f->client));
    case COND_SCHEME: return result_if(has_slice(c, f->scheme));
    case COND_HEADER: return has_header(c->items, f->fields);
    case COND_COOKIE: return has_cookie(c->items, f->fields);
    case COND_QUERY: return has_query(c->items, f->query);
    case COND_STATUS: return result_if(has_status(c, f->status));
    }
    return REGEX_NO;
}

enum regex_result match_facts(const struct match *m, const struct facts *f,
                              const struct cond **missed)
{
    for (uint32_t i = 0; i < m->count; i++) {
        enum regex_result found = test(&m->conds[i], f);
        if (found == result_if(!m->conds[i].is_negated))
            continue;
        *missed = &m->conds[i];
        return found == REGEX_GAVE_UP ? REGEX_GAVE_UP : REGEX_NO;
    }
    return REGEX_YES;
}

const char *match_miss(const struct cond *cond)
{
    static const char *const texts[] = {
#define COND(id, name, syntax, help, miss)        [COND_##id] = miss,
#define ANSWER_COND(id, name, syntax, help, miss) [COND_##id] = miss,
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
    };
    return texts[cond->kind];
}

/* ---- reading ---- */

typedef bool cond_read_fn(struct config_reader *r, const struct config_word *word,
                          struct slice text, struct cond *c);

/* A list is added to; the others stand alone. */
static struct cond *open_cond(struct config_reader *r, struct match *m, enum cond_kind kind,
                              bool is_list, bool is_negated)
{
    for (uint32_t i = 0; is_list && i < m->count; i++)
        if (m->conds[i].kind == kind && m->conds[i].is_negated == is_negated)
            return &m->conds[i];
    struct cond *c = config_append(r, &m->conds, &m->count, sizeof(*c));
    *c = (struct cond){.kind = (uint8_t)kind, .is_negated = is_negated};
    return c;
}

static bool read_method(struct config_reader *r, const struct config_word *word, struct slice text,
                        struct cond *c)
{
    bool has_small = false, has_capital = false;
    for (size_t i = 0; i < text.n; i++) {
        has_small |= text.p[i] >= 'a' && text.p[i] <= 'z';
        has_capital |= text.p[i] >= 'A' && text.p[i] <= 'Z';
    }
    if (has_small && !has_capital)
        return config_error(r->diag, word->text_at,
                            "methods are written in capitals: '" SLICE_FMT "' is none",
                            SLICE_ARG(text));
    *(struct slice *)config_append(r, &c->items, &c->count, sizeof(text)) = text;
    return true;
}

static bool read_host(struct config_reader *r, const struct config_word *word, struct slice text,
                      struct cond *c)
{
    struct text_match m = {.has_value = true};
    if (slice_starts(text, SLICE("~")))
        m.regex = regex_read(r, word, slice_skip(text, 1));
    else if (!hostname_read(r, word, text, &m.value))
        return false;
    if (!m.regex && !m.value.n)
        return false;
    *(struct text_match *)config_append(r, &c->items, &c->count, sizeof(m)) = m;
    return true;
}

static bool read_client(struct config_reader *r, const struct config_word *word, struct slice text,
                        struct cond *c)
{
    struct cidr net;
    const char *why = cidr_parse(text, &net);
    if (why)
        return config_error(r->diag, word->text_at, "%s", why);
    *(struct cidr *)config_append(r, &c->items, &c->count, sizeof(net)) = net;
    return true;
}

static bool read_scheme(struct config_reader *r, const struct config_word *word, struct slice text,
                        struct cond *c)
{
    if (!slice_eq(text, SLICE("http")) && !slice_eq(text, SLICE("https")))
        return config_error(r->diag, word->text_at,
                            "'scheme' is http or https, not '" SLICE_FMT "'", SLICE_ARG(text));
    *(struct slice *)config_append(r, &c->items, &c->count, sizeof(text)) = text;
    return true;
}

static bool read_status(struct config_reader *r, const struct config_word *word, struct slice text,
                        struct cond *c)
{
    uint64_t n;
    bool is_class = text.n == 3 && slice_ends(text, SLICE("xx"));
    if (text.n != 3 || !num_dec(is_class ? slice_first(text, 1) : text, &n) ||
        n < (is_class ? 1 : 100) || n > (is_class ? 5 : 599))
        return config_error(r->diag, word->text_at,
                            "'" SLICE_FMT "' is no status\nwrite one such as 404, or 4xx",
                            SLICE_ARG(text));
    struct status_range *range = config_append(r, &c->items, &c->count, sizeof(*range));
    range->from = (uint16_t)(is_class ? n * 100 : n);
    range->to = (uint16_t)(is_class ? n * 100 + 99 : n);
    return true;
}

/* NAME, NAME:VALUE or NAME:~REGEX. */
static bool read_named(struct config_reader *r, const struct config_word *word, struct slice text,
                       struct cond *c)
{
    size_t colon = slice_find(text, ':');
    struct text_match m = {.name = slice_first(text, colon), .has_value = colon < text.n};
    if (m.has_value)
        m.value = slice_trim(slice_skip(text, colon + 1));
    if (m.name.n == 0 || slice_find(m.name, ' ') < m.name.n)
        return config_error(r->diag, word->text_at, "'" SLICE_FMT "' takes a name, or NAME:VALUE",
                            SLICE_ARG(word->option));
    if (slice_starts(m.value, SLICE("~"))) {
        m.regex = regex_read(r, word, slice_skip(m.value, 1));
        if (!m.regex)
            return false;
    }
    *(struct text_match *)config_append(r, &c->items, &c->count, sizeof(m)) = m;
    return true;
}

static const struct {
    struct slice name;
    cond_read_fn *read;
    bool is_list; /* "A,B", and repeating it adds to the list */
} kinds[] = {
    [COND_METHOD] = {SLICE_INIT("method"), read_method, true},
    [COND_HOST] = {SLICE_INIT("host"), read_host, true},
    [COND_CLIENT] = {SLICE_INIT("client"), read_client, true},
    [COND_SCHEME] = {SLICE_INIT("scheme"), read_scheme, true},
    [COND_HEADER] = {SLICE_INIT("header"), read_named, false},
    [COND_COOKIE] = {SLICE_INIT("cookie"), read_named, false},
    [COND_QUERY] = {SLICE_INIT("query"), read_named, false},
    [COND_STATUS] = {SLICE_INIT("status"), read_status, true},
};

static enum cond_kind kind_of(struct slice name)
{
    size_t i = 0;
    while (!slice_eq(kinds[i].name, name))
        i++;
    return (enum cond_kind)i;
}

/* A regular expression may have commas. */
static bool read_list(struct config_reader *r, const struct config_word *word, struct slice list,
                      cond_read_fn *read, struct cond *c)
{
    struct slice text;
    uint32_t before = c->count;
    if (slice_starts(list, SLICE("~")))
        return read(r, word, list, c);
    while (slice_next_token(&list, &text))
        if (!read(r, word, text, c))
            return false;
    return c->count > before || config_error(r->diag, word->text_at, "'" SLICE_FMT "' names none",
                                             SLICE_ARG(word->option));
}

bool match_set(struct config_reader *r, const struct directive *d, const struct config_word *word,
               void *target)
{
    struct match *m = target;
    enum cond_kind kind = kind_of(word->option);
    bool is_negated = slice_starts(word->text, SLICE("!"));
    struct slice text = slice_skip(word->text, is_negated ? 1 : 0);
    struct cond *c = open_cond(r, m, kind, kinds[kind].is_list, is_negated);
    (void)d;
    return kinds[kind].is_list ? read_list(r, word, text, kinds[kind].read, c)
                               : kinds[kind].read(r, word, text, c);
}
