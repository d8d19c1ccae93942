/* SPDX-License-Identifier: MIT */
#include "core/site_conf.h"

#include "base/num.h"
#include "config/hostname.h"
#include "core/action.h"
#include "core/admit.h"
#include "core/snapshot.h"
#include "rewrite/rules_conf.h"
#include "static/files_conf.h"

static key_set_fn set_paths, set_internal, set_max_age;
static key_open_fn open_pair, open_route, open_site_script, open_route_script, open_site_files,
    open_site_redirect, open_site_respond, open_site_compress, open_route_compress, open_site_serve,
    open_route_serve, open_route_rule, open_route_rewrite, open_site_rule, open_site_rewrite,
    open_site_gate, open_route_gate, open_site_page, open_route_page;
static key_close_fn close_hsts, close_route;

/* clang-format off */
static const struct key route_options[] = {
#define COND(id, name, syntax, help, miss) MATCH_OPTION(name, syntax, help)
#define ANSWER_COND(id, name, syntax, help, miss)
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
    {.name = NULL},
};

/* Of sites and of routes, which differ in where the values are kept. */
#define SCRIPT_KEYS(opener)                                                                        \
    {.name = "root", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = script_set_root,                 \
     .open = opener, .syntax = "DIR",                                                              \
     .help = "where the files of the site are: what `files` serves, and DOCUMENT_ROOT of FastCGI, "  \
             "SCGI and CGI, for which it may be another machine's"},                                \
    {.name = "index", .type = KEY_CUSTOM, .set = script_set_index, .open = opener,                 \
     .syntax = "NAME...", .help = "what a path that ends in '/' stands for"},                      \
    {.name = "split-path", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = script_set_split,          \
     .open = opener, .syntax = "EXTENSION",                                                        \
     .help = "the first segment of a path with this extension ends SCRIPT_NAME, and PATH_INFO is " \
             "behind it. fastcgi with a root: .php; else SCRIPT_NAME is empty"},                   \
    {.name = "param", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TEMPLATE,                      \
     .set = script_set_param, .open = opener, .syntax = "NAME TEMPLATE",                                                       \
     .help = "a variable for FastCGI, SCGI and CGI, in place of ours of the same name"}

static const struct key_name priorities[] = {
    {"high", PRIORITY_HIGH, "before all others"},
    {"normal", PRIORITY_NORMAL, "in its turn"},
    {"low", PRIORITY_LOW, "behind all others"},
    {NULL, 0, NULL},
};

/* What a route does: one of these. In a site, each is short for a last route. */
#define ACTION_KEYS(route_opener, redirect_opener, respond_opener)                                 \
    {.name = "proxy", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = pool_action_set_proxy,          \
     .open = route_opener, .syntax = "POOL", .help = "pass the request to a pool"},                \
    {.name = "cgi", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = pool_action_set_cgi,              \
     .open = route_opener, .syntax = "DIR | PROGRAM",                                              \
     .help = "run a program of a directory, or this one, for each request: short for a pool with " \
             "backend cgi://DIR"},                                                                 \
    {.name = "reroute", .type = KEY_CUSTOM, .flags = KEY_ONE | KEY_TEMPLATE, .set = reroute_action_set,           \
     .open = route_opener, .syntax = "TARGET",                                                     \
     .help = "go on inside the gateway as if this path (and query) had been asked for, which "     \
             "another route may take"},                                                            \
    {.name = "redirect", .type = KEY_CUSTOM, .flags = KEY_TEMPLATE, .set = answer_action_set_redirect,                    \
     .open = redirect_opener, .syntax = "[STATUS] TARGET",                                         \
     .help = "send the client elsewhere, with 302 or the status given"},                           \
    {.name = "respond", .type = KEY_CUSTOM, .flags = KEY_TEMPLATE, .set = answer_action_set_respond, \
     .open = respond_opener, .close = answer_action_close_respond, .options = answer_action_respond_options, \
     .syntax = "STATUS [TEMPLATE]",                                                                \
     .help = "answer with this status and text; without a text nothing, or the page for an error"}

#define FILES_KEY(opener)                                                                          \
    {.name = "files", .type = KEY_CUSTOM, .set = files_action_set, .open = opener,                 \
     .block = files_keys, .syntax = "[else /PATH | else next | else STATUS]",                      \
     .help = "serve files beneath the root; a request that no file answers goes on with this "     \
             "path, or to the next route that matches it, or gets this status (404)"}

static const struct key route_keys[] = {
    FILES_KEY(files_action_open),
    ACTION_KEYS(NULL, answer_action_open_redirect, answer_action_open_respond),
    RULES_KEYS(open_route_rule, open_route_rewrite),
    {.name = "internal", .type = KEY_CUSTOM, .set = set_internal, .syntax = "",
     .help = "only requests that an answer or another route sends here, none of a client"},
    {.name = "priority", .type = KEY_ENUM, .at = at(struct route_conf, priority),
     .init = "normal", .names = priorities,
     .help = "whose turn it is first where requests wait for a connection to a backend"},
    ADMIT_KEYS(open_route_gate),
    SERVE_KEYS(open_route_serve),
    ERROR_PAGES_KEY(open_route_page),
    COMPRESS_KEY(open_route_compress),
    SCRIPT_KEYS(open_route_script),
    {.name = "script", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = script_set_script,
     .open = open_route_script, .syntax = "/PATH",
     .help = "the script that gets every request of this route: SCRIPT_NAME beneath the root"},
    {.name = NULL},
};

static const struct key hsts_options[] = {
    {.name = "max-age", .type = KEY_CUSTOM, .flags = KEY_REQUIRED, .set = set_max_age,
     .syntax = "TIME", .help = "for how long, such as 365d; 0s takes it back"},
    {.name = "subdomains", .type = KEY_BOOL, .at = at(struct site_conf, hsts.subdomains),
     .help = "for all names beneath the site's, too"},
    {.name = "preload", .type = KEY_BOOL, .at = at(struct site_conf, hsts.preload),
     .help = "agree to be listed in browsers from the start"},
    {.name = NULL},
};

const struct key site_keys[] = {
    {.name = "route", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_paths,
     .open = open_route, .close = close_route, .options = route_options, .block = route_keys,
     .syntax = "/PATH | /PREFIX* | *SUFFIX | ~ REGEX | *",
     .help = "what happens to requests whose path matches one of the patterns and which meet all "
             "the options"},
    FILES_KEY(open_site_files),
    ACTION_KEYS(open_route, open_site_redirect, open_site_respond),
    ADMIT_KEYS(open_site_gate),
    SERVE_KEYS(open_site_serve),
    ERROR_PAGES_KEY(open_site_page),
    COMPRESS_KEY(open_site_compress),
    RULES_KEYS(open_site_rule, open_site_rewrite),
    SCRIPT_KEYS(open_site_script),
    {.name = "certificate", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_ONE, .set = tls_pair_set,
     .open = open_pair, .options = tls_pair_options, .syntax = "FILE",
     .help = "a certificate (PEM) with its chain, for every TLS listener; clients who ask for one of "
             "its names get it"},
    {.name = "hsts", .type = KEY_NONE, .options = hsts_options, .close = close_hsts,
     .help = "tell browsers that come by HTTPS never to come without it again "
             "(Strict-Transport-Security)"},
    {.name = NULL},
};
/* clang-format on */

/* ---- names ---- */

static void add_name(struct config_reader *r, struct site_conf *site, struct slice text,
                     struct config_place at)
{
    struct site_name *name =
        config_append(r, &site->names, &site->name_count, sizeof(*site->names));
    *name = (struct site_name){.text = text, .at = at};
}

bool site_conf_set(struct config_reader *r, const struct directive *d,
                   const struct config_word *word, void *target)
{
    struct site_conf *site = target;
    bool ok = true;
    for (uint32_t i = 0; i < d->arg_count; i++) {
        struct slice text = word[i].text;
        if (slice_eq(text, SLICE("*")) || hostname_read(r, &word[i], text, &text))
            add_name(r, site, text, word[i].at);
        else
            ok = false;
    }
    if (d->arg_count == 0)
        add_name(r, site, SLICE("*"), d->name.at);
    return ok;
}

/* ---- matchers ---- */

static bool bad_pattern(struct config_reader *r, const struct config_word *word, const char *why)
{
    return config_error(r->diag, word->at, "'" SLICE_FMT "' matches no path: %s",
                        SLICE_ARG(word->text), why);
}

/* /path, /prefix*, *suffix or *: at most one asterisk, at one end. */
static bool read_pattern(struct config_reader *r, const struct config_word *word,
                         struct path_match *m)
{
    struct slice text = word->text;
    size_t star = slice_find(text, '*');
    *m = (struct path_match){.kind = PATH_EXACT, .text = text};
    if (star < text.n) {
        bool leads = star == 0;
        m->kind = text.n == 1 ? PATH_ANY : leads ? PATH_SUFFIX : PATH_PREFIX;
        m->text = slice_of(text.p + (leads ? 1 : 0), text.n - 1);
        if (slice_find(m->text, '*') < m->text.n || (!leads && star != text.n - 1))
            return bad_pattern(r, word,
                               "one '*' may stand at its beginning or its end\n"
                               "write a regular expression: ~ ^/a/[^/]*/b$");
    }
    if (m->kind != PATH_SUFFIX && m->kind != PATH_ANY && !slice_starts(text, SLICE("/")))
        return bad_pattern(r, word, "paths begin with '/'");
    if (slice_find(text, '%') < text.n)
        config_warn(r->diag, word->at,
                    "routes see decoded paths\nwrite the character that %%XX stands for, in "
                    "quotes where needed");
    if (slice_find(text, '?') < text.n)
        config_warn(r->diag, word->at, "routes do not see the query, which begins with '?'");
    return true;
}

static bool read_regex(struct config_reader *r, const struct config_word *word,
                       struct path_match *m)
{
    *m = (struct path_match){.kind = PATH_REGEX, .text = word->text};
    m->regex = regex_read(r, word, word->text);
    return m->regex != NULL;
}

static bool set_paths(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct route_conf *route = target;
    bool ok = true;
    for (uint32_t i = 0; i < d->arg_count; i++) {
        struct path_match m;
        bool is_regex = slice_eq(word[i].text, SLICE("~"));
        if (is_regex && ++i == d->arg_count)
            return config_error(r->diag, word[i - 1].at,
                                "'~' is followed by a regular expression: ~ ^/x");
        ok = (is_regex ? read_regex(r, &word[i], &m) : read_pattern(r, &word[i], &m)) && ok;
        if (!ok)
            continue;
        struct path_match *kept =
            config_append(r, &route->paths, &route->path_count, sizeof(*kept));
        *kept = m;
    }
    if (d->arg_count + d->option_count == 0)
        return config_error(r->diag, d->name.at,
                            "'route' takes a path\nwrite * to match every request");
    return ok;
}

/* ---- routes ---- */

static void *open_site_script(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct site_conf *site = target;
    return &site->script;
}

static void *open_route_script(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct route_conf *route = target;
    route->script.groups = route_group_count(route);
    return &route->script;
}

static bool set_max_age(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    (void)d;
    struct site_conf *site = target;
    uint64_t ms;
    if (!num_ms(word->text, &ms) || ms / 1000 > UINT32_MAX)
        return config_error(r->diag, word->text_at, "'max-age' takes a time such as 30d or 365d");
    site->hsts.max_age_s = (uint32_t)(ms / 1000);
    return true;
}

static bool close_hsts(struct config_reader *r, const struct directive *d, void *opened)
{
    struct site_conf *site = opened;
    struct hsts_conf *hsts = &site->hsts;
    (void)d;
    hsts->value = arena_printf(r->arena, "max-age=%u%s%s", hsts->max_age_s,
                               hsts->subdomains ? "; includeSubDomains" : "",
                               hsts->preload ? "; preload" : "");
    return true;
}

static void *open_pair(struct config_reader *r, const struct directive *d, void *target)
{
    struct site_conf *site = target;
    (void)d;
    return config_append(r, &site->pairs, &site->pair_count, sizeof(*site->pairs));
}

static void *open_site_gate(struct config_reader *r, const struct directive *d, void *target)
{
    struct site_conf *site = target;
    return admit_open(r, d, site->admission);
}

static void *open_route_gate(struct config_reader *r, const struct directive *d, void *target)
{
    struct route_conf *route = target;
    return admit_open(r, d, route->own_admission);
}

static void *open_site_page(struct config_reader *r, const struct directive *d, void *target)
{
    (void)d;
    struct site_conf *site = target;
    return error_pages_open(r, &site->pages);
}

static void *open_route_page(struct config_reader *r, const struct directive *d, void *target)
{
    (void)d;
    struct route_conf *route = target;
    return error_pages_open(r, &route->pages);
}

static void *open_site_serve(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct site_conf *site = target;
    return &site->serve;
}

static void *open_route_serve(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct route_conf *route = target;
    return &route->serve;
}

static void *open_site_compress(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct site_conf *site = target;
    return &site->compress;
}

static void *open_route_compress(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct route_conf *route = target;
    return &route->compress;
}

static void *open_route_rule(struct config_reader *r, const struct directive *d, void *target)
{
    struct route_conf *route = target;
    return rules_open(r, d, &route->rewrite, route_group_count(route));
}

static void *open_route_rewrite(struct config_reader *r, const struct directive *d, void *target)
{
    struct route_conf *route = target;
    (void)d;
    return rules_of(r, &route->rewrite);
}

static void *open_site_rule(struct config_reader *r, const struct directive *d, void *target)
{
    struct site_conf *site = target;
    return rules_open(r, d, &site->rewrite, TEMPLATE_NO_GROUPS);
}

static void *open_site_rewrite(struct config_reader *r, const struct directive *d, void *target)
{
    struct site_conf *site = target;
    (void)d;
    return rules_of(r, &site->rewrite);
}

static void *open_route(struct config_reader *r, const struct directive *d, void *target)
{
    struct site_conf *site = target;
    struct route_conf *route =
        config_append(r, &site->routes, &site->route_count, sizeof(*site->routes));
    route->at = d->name.at;
    route->text = SLICE("*");
    route->own_admission = arena_zalloc(r->arena, sizeof(*route->own_admission));
    serve_conf_init(&route->serve);
    return route;
}

static void *open_site_files(struct config_reader *r, const struct directive *d, void *target)
{
    return files_action_open(r, d, open_route(r, d, target));
}

static void *open_site_redirect(struct config_reader *r, const struct directive *d, void *target)
{
    return answer_action_open_redirect(r, d, open_route(r, d, target));
}

static void *open_site_respond(struct config_reader *r, const struct directive *d, void *target)
{
    return answer_action_open_respond(r, d, open_route(r, d, target));
}

static bool set_internal(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    struct route_conf *route = target;
    route->is_internal = true;
    return d->arg_count == 0 || config_error(r->diag, word->at, "'internal' takes no value");
}

/* The matchers as they were written. */
static bool close_route(struct config_reader *r, const struct directive *d, void *opened)
{
    struct route_conf *route = opened;
    struct slice text = SLICE_NONE;
    for (uint32_t i = 0; i < d->arg_count; i++)
        text = arena_printf(r->arena, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(text), text.n ? " " : "",
                            SLICE_ARG(d->args[i].text));
    for (uint32_t i = 0; i < d->option_count; i++)
        text = arena_printf(r->arena, SLICE_FMT "%s" SLICE_FMT "=" SLICE_FMT, SLICE_ARG(text),
                            text.n ? " " : "", SLICE_ARG(d->options[i].option),
                            SLICE_ARG(d->options[i].text));
    if (text.n)
        route->text = text;
    return true;
}
