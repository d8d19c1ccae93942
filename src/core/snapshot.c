/* SPDX-License-Identifier: MIT */
#include "core/snapshot.h"

#include <stdlib.h>

#include "base/mem.h"
#include "codec/codec.h"
#include "config/suggest.h"
#include "core/action.h"
#include "core/admit.h"
#include "rewrite/rules_conf.h"

static key_open_fn open_gateway, open_listen, open_pool, open_site;
static key_set_fn set_pool_name;

/* clang-format off */
static const struct key snapshot_keys[] = {
    {.name = "gateway", .type = KEY_NONE, .open = open_gateway, .block = gateway_keys,
     .help = "settings of the whole gateway"},
    {.name = "listen", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_REQUIRED,
     .set = listen_conf_set, .open = open_listen, .close = listen_conf_close,
     .options = listen_options, .block = tls_listen_keys,
     .syntax = "PORT | IP:PORT | [IPv6]:PORT | unix:PATH | fd:NUMBER [tls]",
     .help = "an address to take requests from; a port alone means every address of the machine, "
             "port 0 any free one. With tls: by HTTPS, as the block says"},
    {.name = "pool", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_ONE, .set = set_pool_name,
     .open = open_pool, .block = pool_keys, .syntax = "NAME",
     .help = "backends that are interchangeable"},
    {.name = "site", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = site_conf_set,
     .open = open_site, .block = site_keys, .syntax = "HOST ... | *.HOST | *",
     .help = "what happens to requests for some host names; * (or no name) takes the hosts that no "
             "other site names"},
    {.name = NULL},
};
/* clang-format on */

const struct key *snapshot_key_table(void)
{
    return snapshot_keys;
}

/* ---- what the directives at the top fill ---- */

static void *open_gateway(struct config_reader *r, const struct directive *d, void *target)
{
    (void)r;
    (void)d;
    struct snapshot *s = target;
    return &s->gateway;
}

static void *open_listen(struct config_reader *r, const struct directive *d, void *target)
{
    (void)d;
    struct snapshot *s = target;
    return config_append(r, &s->listens, &s->listen_count, sizeof(*s->listens));
}

static void *open_pool(struct config_reader *r, const struct directive *d, void *target)
{
    struct snapshot *s = target;
    struct pool_conf *pool = config_append(r, &s->pools, &s->pool_count, sizeof(*s->pools));
    pool->at = d->name.at;
    return pool;
}

static void *open_site(struct config_reader *r, const struct directive *d, void *target)
{
    struct snapshot *s = target;
    struct site_conf *site = config_append(r, &s->sites, &s->site_count, sizeof(*s->sites));
    site->at = d->name.at;
    site->admission = arena_zalloc(r->arena, sizeof(*site->admission));
    serve_conf_init(&site->serve);
    return site;
}

struct pool_conf *snapshot_find_pool(const struct snapshot *s, struct slice name)
{
    for (uint32_t i = 0; i < s->pool_count; i++)
        if (slice_eq(s->pools[i].name, name))
            return &s->pools[i];
    return NULL;
}

static bool set_pool_name(struct config_reader *r, const struct directive *d,
                          const struct config_word *word, void *target)
{
    struct pool_conf *pool = target;
    (void)d;
    const struct pool_conf *other = snapshot_find_pool(r->root, word->text);
    if (other)
        return config_error(r->diag, word->at,
                            "two pools are named '" SLICE_FMT "'\nthe other one stands at line %u",
                            SLICE_ARG(word->text), other->at.line);
    pool->name = word->text;
    pool->at = word->at;
    return true;
}

/* ---- checks across directives ---- */

/* Whether we know how many connections each backend takes. */
static bool is_limited(const struct pool_conf *pool)
{
    bool limited = true;
    for (uint32_t i = 0; i < pool->backend_count; i++)
        limited = limited && pool->backends[i].max_conns;
    return limited || pool->max_conns || pool->spawn;
}

/* What is not configured is as suits the protocol. A process that a kept connection occupies may be
 * the one that another request waits for: we would know only with a limit that is its number. */
static void set_protocol_defaults(struct pool_conf *pool, const struct back_codec *codec)
{
    enum { KEEP_MS = 60000, KEEP_PROCESS_MS = 2000 };
    if (pool->proxy_version) /* a connection speaks for one client */
        pool->keep_idle = 0, pool->keep_streams = 1;
    if (!pool->buffer_set)
        pool->buffer_request = pool->buffer_response = codec->holds_process;
    if (!pool->keep_ms && codec->holds_process && !is_limited(pool))
        pool->keep_idle = 0;
    if (!pool->keep_ms)
        pool->keep_ms = codec->holds_process ? KEEP_PROCESS_MS : KEEP_MS;
}

/* NULL: no protocol is called that. */
static const struct back_codec *find_codec(struct slice protocol, bool *over_tls)
{
    const struct back_codec *codec;
    for (size_t i = 0; (codec = codec_at(i)); i++) {
        *over_tls = codec->name_over_tls && slice_eq(protocol, slice_str(codec->name_over_tls));
        if (*over_tls || slice_eq(protocol, slice_str(codec->name)))
            return codec;
    }
    return NULL;
}

static struct slice add_known(struct arena *a, struct slice known, const char *name)
{
    return arena_printf(a, SLICE_FMT "%s%s", SLICE_ARG(known), known.n ? ", " : "", name);
}

static bool unknown_protocol(struct config_reader *r, const struct pool_conf *pool)
{
    struct suggest near = suggest_for(pool->protocol);
    struct slice known = SLICE_NONE, over_tls = SLICE_NONE;
    const struct back_codec *codec;
    for (size_t i = 0; (codec = codec_at(i)); i++) {
        suggest_try(&near, codec->name);
        known = add_known(r->arena, known, codec->name);
        if (!codec->name_over_tls)
            continue;
        suggest_try(&near, codec->name_over_tls);
        over_tls = add_known(r->arena, over_tls, codec->name_over_tls);
    }
    if (near.best)
        return config_error(r->diag, pool->protocol_at,
                            "unknown protocol '" SLICE_FMT "'\ndid you mean '%s'?",
                            SLICE_ARG(pool->protocol), near.best);
    return config_error(r->diag, pool->protocol_at,
                        "unknown protocol '" SLICE_FMT "'\nknown: " SLICE_FMT ", " SLICE_FMT,
                        SLICE_ARG(pool->protocol), SLICE_ARG(known), SLICE_ARG(over_tls));
}

static bool finish_pool(struct config_reader *r, struct pool_conf *pool)
{
    bool over_tls;
    pool_conf_guess_protocol(pool);
    const struct back_codec *codec = find_codec(pool->protocol, &over_tls);
    if (!codec)
        return unknown_protocol(r, pool);
    pool->codec = slice_str(codec->name);
    pool->tls.is_on |= over_tls;
    set_protocol_defaults(pool, codec);
    return pool_conf_finish(r, pool, over_tls ? codec->port_over_tls : codec->default_port);
}

static bool finish_route(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                         struct route_conf *route)
{
    route->site = site;
    script_conf_inherit(r, &route->script, &site->script);
    rules_inherit(r, &route->rewrite, site->rewrite);
    if (!action_finish(r, s, route))
        return false;
    if (!admission_finish(r, s, site, route->own_admission, &route->admission))
        return false;
    route->pages.outer = &site->pages;
    serve_conf_inherit(&route->serve, &site->serve);
    serve_conf_finish(&route->serve, &s->gateway, route->pool);
    compress_conf_finish(&route->compress, &site->compress);
    if (!route->pool)
        return true;
    snapshot_use_pool(s, route->pool_index);
    script_conf_finish(&route->script, codec_find(route->pool->codec));
    return true;
}

static void warn_hidden(struct config_reader *r, const struct site_conf *site, uint32_t later)
{
    for (uint32_t i = 0; i < later; i++) {
        if (site->routes[i].passes_over || !route_covers(&site->routes[i], &site->routes[later]))
            continue;
        config_warn(r->diag, site->routes[later].at,
                    "this route never matches: '" SLICE_FMT "' at line %u takes its requests\n"
                    "routes are tried in the order of the file: put the special ones first",
                    SLICE_ARG(site->routes[i].text), site->routes[i].at.line);
        return;
    }
}

static void finish_site(struct config_reader *r, struct snapshot *s, struct site_conf *site)
{
    for (uint32_t i = 0; i < site->route_count; i++) {
        finish_route(r, s, site, &site->routes[i]);
        warn_hidden(r, site, i);
    }
    for (uint32_t i = 0; i < site->route_count; i++)
        files_action_check(r, &site->routes[i]);
    if (site->route_count == 0)
        config_warn(r->diag, site->at, "this site has no routes and answers 404 to everything");
}

static void check_listens(struct config_reader *r, const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->listen_count; i++)
        for (uint32_t j = 0; j < i; j++) {
            const struct listen_conf *a = &s->listens[j], *b = &s->listens[i];
            if (listen_conf_clashes(a, b)) {
                config_error(r->diag, b->at,
                             "'" SLICE_FMT "' is listened on already\n'" SLICE_FMT
                             "' at line %u takes it",
                             SLICE_ARG(b->text), SLICE_ARG(a->text), a->at.line);
                break;
            }
        }
}

static bool has_certificates(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->site_count; i++)
        if (s->sites[i].pair_count)
            return true;
    return false;
}

static void check_certificates(struct config_reader *r, const struct snapshot *s)
{
    bool any_tls = false, sites_have = has_certificates(s);
    for (uint32_t i = 0; i < s->listen_count; i++) {
        any_tls |= s->listens[i].is_tls;
        if (s->listens[i].is_tls && !s->listens[i].tls.pair_count && !sites_have)
            config_error(r->diag, s->listens[i].at,
                         "there is no certificate for it\n"
                         "write: listen " SLICE_FMT " tls { certificate FILE key=FILE }",
                         SLICE_ARG(s->listens[i].text));
    }
    for (uint32_t i = 0; i < s->site_count && !any_tls; i++)
        if (s->sites[i].pair_count)
            config_warn(r->diag, s->sites[i].pairs[0].at,
                        "no listener speaks TLS, so the certificate is never shown");
}

/* Once every directive is right by itself. */
static void finish(struct config_reader *r, struct snapshot *s)
{
    serve_conf_init(&s->serve);
    serve_conf_finish(&s->serve, &s->gateway, NULL);
    s->serve.body_bytes = 0;
    s->used_pools = arena_zalloc(r->arena, s->pool_count + 1);
    check_listens(r, s);
    check_certificates(r, s);
    for (uint32_t i = 0; i < s->pool_count; i++)
        finish_pool(r, &s->pools[i]);
    for (uint32_t i = 0; i < s->site_count; i++)
        finish_site(r, s, &s->sites[i]);
    for (uint32_t i = 0; i < s->pool_count && r->diag->errors == 0; i++)
        if (!s->used_pools[i])
            config_warn(r->diag, s->pools[i].at, "no route uses the pool '" SLICE_FMT "'",
                        SLICE_ARG(s->pools[i].name));
    if (s->site_count == 0)
        config_error(r->diag, (struct config_place){0},
                     "there is no site, so nothing would be answered\n"
                     "add one: site * { proxy POOL }");
    s->types.otherwise = SLICE("application/octet-stream");
    types_build(&s->types, NULL, 0, SLICE("utf-8"), r->arena);
    s->hosts = route_index_sites(r, s->sites, s->site_count);
}

/* ---- life ---- */

static struct snapshot *snapshot_new(void)
{
    struct snapshot *s = mem_zalloc(sizeof(*s));
    atomic_init(&s->refs, 1);
    buf_pool_init(&s->memory, 0);
    arena_init(&s->arena, &s->memory);
    return s;
}

static struct snapshot *build(struct snapshot *s, bool is_whole, const struct directive *first,
                              struct config_place top, const struct config_loader *loader,
                              struct config_diag *diag)
{
    struct config_reader r = {
        .arena = &s->arena, .diag = diag, .root = s, .loader = loader, .regexes = &s->regexes};
    config_defaults(&r, gateway_keys, &s->gateway);
    if (is_whole && config_apply(&r, snapshot_keys, first, "the configuration", top, s))
        finish(&r, s);
    if (diag->errors == 0)
        return s;
    snapshot_unref(s);
    return NULL;
}

struct snapshot *snapshot_load(struct slice path, const struct config_loader *loader,
                               struct config_diag *diag)
{
    struct snapshot *s = snapshot_new();
    struct directive *first;
    struct config_file *file = arena_zalloc(&s->arena, sizeof(*file));
    file->path = path;
    bool is_whole = config_parse_file(path, loader, &s->arena, diag, &first);
    return build(s, is_whole, first, (struct config_place){.file = file}, loader, diag);
}

struct snapshot *snapshot_load_text(struct slice name, struct slice text,
                                    const struct config_loader *loader, struct config_diag *diag)
{
    struct snapshot *s = snapshot_new();
    struct directive *first;
    struct config_file *file = arena_zalloc(&s->arena, sizeof(*file));
    file->path = name;
    bool is_whole = config_parse_text(name, text, loader, &s->arena, diag, &first);
    return build(s, is_whole, first, (struct config_place){.file = file}, loader, diag);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    regex_free_all(s->regexes);
    arena_fini(&s->arena);
    buf_pool_fini(&s->memory);
    free(s);
}
