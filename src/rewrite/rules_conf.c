/* SPDX-License-Identifier: MIT */
#include "rewrite/rules_conf.h"

#include "base/num.h"
#include "config/diag.h"
#include "http/uri.h"

static key_set_fn set_same_site;

/* clang-format off */
const struct key rules_options[] = {
#define COND(id, name, syntax, help, miss) MATCH_OPTION(name, syntax, help)
#define ANSWER_COND(id, name, syntax, help, miss)
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
    {.name = NULL},
};

const struct key rules_answer_options[] = {
#define COND(id, name, syntax, help, miss)        MATCH_OPTION(name, syntax, help)
#define ANSWER_COND(id, name, syntax, help, miss) MATCH_OPTION(name, syntax, help)
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
    {.name = NULL},
};

const struct key rules_cookie_options[] = {
    {.name = "samesite", .type = KEY_CUSTOM, .set = set_same_site, .syntax = "strict | lax | none",
     .help = "which requests from other sites carry them"},
    {.name = NULL},
};
/* clang-format on */

/* ---- what a rule's words say ---- */

typedef bool rule_read_fn(struct config_reader *r, const struct directive *d, struct rule *rule);
static rule_read_fn read_rewrite, read_prefix, read_query, read_host, read_value, read_remove,
    read_replace, read_status;

enum list { LIST_TARGET, LIST_RESPONSE, LIST_BY_WORD };

static const struct {
    struct slice key;
    enum rule_kind kind;
    enum list list;
    rule_read_fn *read;
} kinds[] = {
    {SLICE_INIT("rewrite"), RULE_REWRITE, LIST_TARGET, read_rewrite},
    {SLICE_INIT("strip-prefix"), RULE_STRIP, LIST_TARGET, read_prefix},
    {SLICE_INIT("add-prefix"), RULE_PREPEND, LIST_TARGET, read_prefix},
    {SLICE_INIT("set-query"), RULE_QUERY, LIST_TARGET, read_query},
    {SLICE_INIT("set-host"), RULE_HOST, LIST_TARGET, read_host},
    {SLICE_INIT("set-header"), RULE_SET, LIST_BY_WORD, read_value},
    {SLICE_INIT("add-header"), RULE_ADD, LIST_BY_WORD, read_value},
    {SLICE_INIT("remove-header"), RULE_REMOVE, LIST_BY_WORD, read_remove},
    {SLICE_INIT("replace-header"), RULE_REPLACE, LIST_BY_WORD, read_replace},
    {SLICE_INIT("set-status"), RULE_STATUS, LIST_RESPONSE, read_status},
};

static size_t index_of(const struct directive *d)
{
    size_t i = 0;
    while (!slice_eq(kinds[i].key, d->name.text))
        i++;
    return i;
}

static bool read_rewrite(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    const struct config_word *word = d->args;
    if (d->arg_count < 2)
        return config_error(r->diag, d->name.at,
                            "'rewrite' takes a regular expression and what becomes of the path\n"
                            "write rewrite ^/old/(.*)$ /new/$1");
    for (uint32_t i = 2; i < d->arg_count; i++) {
        if (slice_eq(word[i].text, SLICE("last")))
            rule->is_last = true;
        else if (slice_eq(word[i].text, SLICE("append")))
            rule->appends = true;
        else
            return config_error(r->diag, word[i].at,
                                "behind its template 'rewrite' takes last and append, not "
                                "'" SLICE_FMT "'",
                                SLICE_ARG(word[i].text));
    }
    rule->regex = regex_read(r, &word[0], word[0].text);
    if (!rule->regex || !template_read(r, &word[1], TEMPLATE_PATH,
                                       regex_group_count(rule->regex) + 1, &rule->value))
        return false;
    return template_begins(&rule->value, '/') ||
           config_error(r->diag, word[1].at, "'rewrite' makes a path, which begins with '/'");
}

/* Literal, in normal form, and without '/' at its end. */
static bool read_prefix(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    const struct config_word *word = d->args;
    struct fault fault;
    struct slice path = word->text, normal;
    if (path.n > 1 && slice_ends(path, SLICE("/")))
        path.n--;
    if (path.n < 2 || uri_normalise_path(path, r->arena, &normal, &fault) != PARSE_DONE ||
        !slice_eq(path, normal))
        return config_error(r->diag, word->at,
                            "'" SLICE_FMT "' takes a path such as /app, decoded and without dots",
                            SLICE_ARG(d->name.text));
    rule->name = path;
    return true;
}

static bool read_query(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    return template_read(r, d->args, TEMPLATE_QUERY, rule->groups, &rule->value);
}

static bool read_host(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    struct slice fixed, host;
    int port;
    if (!template_read(r, d->args, TEMPLATE_FIELD, rule->groups, &rule->value))
        return false;
    return !template_is_fixed(&rule->value, &fixed) || uri_split_authority(fixed, &host, &port) ||
           config_error(r->diag, d->args->at, "'" SLICE_FMT "' cannot be a Host", SLICE_ARG(fixed));
}

static bool is_token(struct slice s)
{
    static const struct slice marks = SLICE_INIT("!#$%&'*+-.^_`|~");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            slice_find(marks, c) == marks.n)
            return false;
    }
    return s.n > 0;
}

/* What frames and routes a message is made by the codecs, from what the gateway has understood. */
static bool is_ours(enum field_id id)
{
    return (field_flags(id) & FIELD_HOP) || id == FIELD_HOST || id == FIELD_CONTENT_LENGTH ||
           id == FIELD_TRAILER || id == FIELD_EXPECT;
}

static bool read_name(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    const struct config_word *word = &d->args[1];
    rule->name = word->text;
    rule->id = (uint8_t)field_lookup(rule->name);
    bool is_pattern = slice_ends(rule->name, SLICE("*"));
    if (!is_token(rule->name) || (is_pattern && rule->kind != RULE_REMOVE))
        return config_error(r->diag, word->at, "'" SLICE_FMT "' is no name of a field",
                            SLICE_ARG(rule->name));
    if (is_ours(rule->id))
        return config_error(r->diag, word->at, "'" SLICE_FMT "' is made by the gateway%s",
                            SLICE_ARG(rule->name),
                            rule->id == FIELD_HOST ? "\nwrite set-host NAME" : "");
    return true;
}

static bool takes(struct config_reader *r, const struct directive *d, uint32_t count,
                  const char *what)
{
    bool has_way = d->arg_count && (slice_eq(d->args[0].text, SLICE("request")) ||
                                    slice_eq(d->args[0].text, SLICE("response")));
    return (has_way && d->arg_count == count) ||
           config_error(r->diag, d->name.at, "'" SLICE_FMT "' takes %s", SLICE_ARG(d->name.text),
                        what);
}

static bool read_value(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    return takes(r, d, 3, "request or response, a name and a value") && read_name(r, d, rule) &&
           template_read(r, &d->args[2], TEMPLATE_FIELD, rule->groups, &rule->value);
}

static bool read_remove(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    return takes(r, d, 2, "request or response and a name") && read_name(r, d, rule);
}

static bool read_replace(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    if (!takes(r, d, 4, "request or response, a name, a regular expression and a template") ||
        !read_name(r, d, rule))
        return false;
    rule->regex = regex_read(r, &d->args[2], d->args[2].text);
    return rule->regex && template_read(r, &d->args[3], TEMPLATE_FIELD,
                                        regex_group_count(rule->regex) + 1, &rule->value);
}

/* Of statuses that have a body and those that have none, one cannot become the other. */
static bool read_status(struct config_reader *r, const struct directive *d, struct rule *rule)
{
    uint64_t n;
    if (!num_dec(d->args->text, &n) || n < 200 || n > 599 || n == 204 || n == 304)
        return config_error(r->diag, d->args->at,
                            "'set-status' takes a status from 200 to 599 that may have a body");
    rule->status = (uint16_t)n;
    return true;
}

/* ---- opening ---- */

struct rewrite *rules_of(struct config_reader *r, struct rewrite **rewrite)
{
    if (!*rewrite)
        *rewrite = arena_zalloc(r->arena, sizeof(**rewrite));
    return *rewrite;
}

static struct rule_list *list_of(struct rewrite *rewrite, const struct directive *d)
{
    enum list list = kinds[index_of(d)].list;
    if (list == LIST_TARGET)
        return &rewrite->target;
    bool is_request =
        list == LIST_BY_WORD && d->arg_count && slice_eq(d->args[0].text, SLICE("request"));
    return is_request ? &rewrite->request : &rewrite->response;
}

void *rules_open(struct config_reader *r, const struct directive *d, struct rewrite **rewrite,
                 uint32_t groups)
{
    struct rule_list *list = list_of(rules_of(r, rewrite), d);
    struct rule *rule = config_append(r, &list->v, &list->n, sizeof(*rule));
    rule->groups = groups;
    rule->at = d->name.at;
    rule->kind = (uint8_t)kinds[index_of(d)].kind;
    rule->text = config_directive_text(d, r->arena);
    return rule;
}

bool rules_set(struct config_reader *r, const struct directive *d, const struct config_word *word,
               void *target)
{
    (void)word;
    return kinds[index_of(d)].read(r, d, target);
}

static void inherit(struct config_reader *r, struct rule_list *route, const struct rule_list *site)
{
    struct rule_list all = {0};
    for (uint32_t i = 0; i < site->n; i++)
        *(struct rule *)config_append(r, &all.v, &all.n, sizeof(*all.v)) = site->v[i];
    for (uint32_t i = 0; i < route->n; i++)
        *(struct rule *)config_append(r, &all.v, &all.n, sizeof(*all.v)) = route->v[i];
    *route = all;
}

static void note_needs(struct rewrite *rewrite, const struct rule_list *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct rule *rule = &list->v[i];
        rewrite->needs_port |= rule->value.needs_port;
        rewrite->needs_groups |= rule->value.needs_group && !rule->regex;
    }
}

void rules_inherit(struct config_reader *r, struct rewrite **route, const struct rewrite *site)
{
    if (site) { /* its target's rules too: responses are mapped back */
        struct rewrite *own = rules_of(r, route);
        inherit(r, &own->request, &site->request);
        inherit(r, &own->response, &site->response);
        if (!own->cookie_flags.n)
            own->cookie_flags = site->cookie_flags;
        if (!own->map_back)
            own->map_back = site->map_back;
    }
    if (!*route)
        return;
    note_needs(*route, &(*route)->target);
    note_needs(*route, &(*route)->request);
    note_needs(*route, &(*route)->response);
}

/* ---- mapping back ---- */

bool rules_set_map_back(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    static const struct slice names[] = {SLICE_INIT("auto"), SLICE_INIT("on"), SLICE_INIT("off")};
    struct rewrite *rewrite = target;
    (void)d;
    for (int i = 0; i < 3; i++)
        if (slice_eq(word->text, names[i])) {
            rewrite->map_back = i;
            return true;
        }
    return config_error(r->diag, word->at, "'map-back' takes auto, on or off");
}

static void add_flag(struct config_reader *r, struct rewrite *rewrite, const char *flag)
{
    rewrite->cookie_flags =
        arena_printf(r->arena, SLICE_FMT "; %s", SLICE_ARG(rewrite->cookie_flags), flag);
}

bool rules_set_cookie_flags(struct config_reader *r, const struct directive *d,
                            const struct config_word *word, void *target)
{
    for (uint32_t i = 0; i < d->arg_count; i++) {
        if (slice_eq(word[i].text, SLICE("secure")))
            add_flag(r, target, "Secure");
        else if (slice_eq(word[i].text, SLICE("httponly")))
            add_flag(r, target, "HttpOnly");
        else
            return config_error(r->diag, word[i].at,
                                "'cookie-flags' takes secure, httponly and samesite=");
    }
    return d->arg_count || d->option_count ||
           config_error(r->diag, d->name.at, "'cookie-flags' takes secure, httponly and samesite=");
}

static bool set_same_site(struct config_reader *r, const struct directive *d,
                          const struct config_word *word, void *target)
{
    static const struct {
        struct slice name;
        const char *flag;
    } values[] = {{SLICE_INIT("strict"), "SameSite=Strict"},
                  {SLICE_INIT("lax"), "SameSite=Lax"},
                  {SLICE_INIT("none"), "SameSite=None"}};
    (void)d;
    for (int i = 0; i < 3; i++)
        if (slice_eq(word->text, values[i].name)) {
            add_flag(r, target, values[i].flag);
            return true;
        }
    return config_error(r->diag, word->text_at, "'samesite' is strict, lax or none");
}
