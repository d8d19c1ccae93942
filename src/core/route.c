/* SPDX-License-Identifier: MIT */
#include "core/route.h"

#include "config/schema.h"
#include "core/site_conf.h"
#include "core/snapshot.h"
#include "rewrite/template.h"

/* ---- sites by host ---- */

/* Open addressing. A wildcard stands under its name without the asterisk: ".example.org". The
 * names are the configuration's, so no peer can make them collide. */
struct host_slot {
    struct slice name; /* p NULL: free */
    const struct site_conf *site;
};

struct host_table {
    struct host_slot *slots;
    uint32_t mask;
    bool has_names, has_wildcards;
    const struct site_conf *fallback; /* site * */
};

#define HASH_START 2166136261u /* FNV-1a */
#define HASH_PRIME 16777619u

/* From the last byte to the first, so that the hash of each parent domain falls off on the way.
 * Bit 5 is set whatever the byte: letters then hash without regard to case. */
static inline uint32_t hash_byte(uint32_t hash, char c)
{
    return (hash ^ ((unsigned char)c | 0x20u)) * HASH_PRIME;
}

static uint32_t hash_name(struct slice name)
{
    uint32_t hash = HASH_START;
    for (size_t i = name.n; i-- > 0;)
        hash = hash_byte(hash, name.p[i]);
    return hash;
}

static struct host_slot *probe(const struct host_table *t, struct slice name, uint32_t hash)
{
    uint32_t i = (hash ^ hash >> 15) & t->mask;
    while (t->slots[i].name.p && !slice_ieq(t->slots[i].name, name))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

static const struct site_conf *find_host(const struct host_table *t, struct slice host)
{
    const struct site_conf *best = t->fallback;
    uint32_t hash = HASH_START;
    if (!t->has_names)
        return t->fallback;
    if (host.n && host.p[host.n - 1] == '.') /* the root: "example.org." is example.org */
        host.n--;
    for (size_t i = host.n; i-- > 0;) {
        hash = hash_byte(hash, host.p[i]);
        if (host.p[i] != '.' || !t->has_wildcards || i == 0)
            continue;
        const struct host_slot *slot = probe(t, slice_skip(host, i), hash);
        if (slot->site)
            best = slot->site; /* longer than the one before */
    }
    const struct host_slot *exact = probe(t, host, hash);
    return exact->site && host.n ? exact->site : best;
}

const struct site_conf *route_find_site(const struct snapshot *s, struct slice host)
{
    return find_host(s->hosts, host);
}

static void index_name(struct config_reader *r, struct host_table *t, const struct site_conf *site,
                       const struct site_name *name)
{
    const struct site_conf **place = &t->fallback;
    struct slice key = name->text;
    if (!slice_eq(key, SLICE("*"))) {
        bool is_wildcard = slice_starts(key, SLICE("*."));
        key = slice_skip(key, is_wildcard ? 1 : 0);
        struct host_slot *slot = probe(t, key, hash_name(key));
        slot->name = key;
        place = &slot->site;
        t->has_names = true;
        t->has_wildcards |= is_wildcard;
    }
    if (*place)
        config_error(r->diag, name->at,
                     "two sites are named '" SLICE_FMT "'\nthe other one stands at line %u",
                     SLICE_ARG(name->text), (*place)->at.line);
    else
        *place = site;
}

struct host_table *route_index_sites(struct config_reader *r, const struct site_conf *sites,
                                     uint32_t count)
{
    struct host_table *t = arena_zalloc(r->arena, sizeof(*t));
    uint32_t names = 1, cap = 4;
    for (uint32_t i = 0; i < count; i++)
        names += sites[i].name_count;
    while (cap < names * 2)
        cap *= 2;
    t->mask = cap - 1;
    t->slots = arena_zalloc(r->arena, cap * sizeof(*t->slots));
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < sites[i].name_count; j++)
            index_name(r, t, &sites[i], &sites[i].names[j]);
    return t;
}

/* ---- routes ---- */

static enum regex_result match_path(const struct path_match *m, struct slice path)
{
    switch (m->kind) {
    case PATH_ANY: return REGEX_YES;
    case PATH_EXACT: return slice_eq(path, m->text) ? REGEX_YES : REGEX_NO;
    case PATH_PREFIX: return slice_starts(path, m->text) ? REGEX_YES : REGEX_NO;
    case PATH_SUFFIX: return slice_ends(path, m->text) ? REGEX_YES : REGEX_NO;
    case PATH_REGEX: return regex_match(m->regex, path);
    }
    return REGEX_NO;
}

static enum route_miss try_paths(const struct route_conf *route, struct slice path)
{
    enum regex_result result = route->path_count ? REGEX_NO : REGEX_YES;
    for (uint32_t i = 0; i < route->path_count && result == REGEX_NO; i++)
        result = match_path(&route->paths[i], path);
    return result == REGEX_YES ? MISS_NONE : result == REGEX_NO ? MISS_PATH : MISS_GAVE_UP;
}

/* The cheap and selective first. A regex comes before the rest only because the path does. */
enum route_miss route_try(const struct route_conf *route, const struct facts *f,
                          const struct cond **missed)
{
    enum route_miss miss = try_paths(route, f->path);
    *missed = NULL;
    if (miss != MISS_NONE)
        return miss;
    if (route->is_internal && !f->is_internal)
        return MISS_INTERNAL;
    if (!route->match.count)
        return MISS_NONE;
    switch (match_facts(&route->match, f, missed)) {
    case REGEX_YES: return MISS_NONE;
    case REGEX_NO: return MISS_CONDITION;
    case REGEX_GAVE_UP: return MISS_GAVE_UP;
    }
    return MISS_NONE;
}

/* after: of this site. NULL: from the first. */
static struct route_match find_from(const struct site_conf *site, const struct facts *f,
                                    const struct route_conf *after)
{
    struct route_match match = {0};
    const struct cond *missed;
    for (uint32_t i = after ? (uint32_t)(after - site->routes) + 1 : 0; i < site->route_count;
         i++) {
        enum route_miss miss = route_try(&site->routes[i], f, &missed);
        match.gave_up = miss == MISS_GAVE_UP;
        if (miss == MISS_NONE)
            match.route = &site->routes[i];
        if (miss == MISS_NONE || miss == MISS_GAVE_UP)
            break;
    }
    return match;
}

struct route_match route_find(const struct site_conf *site, const struct facts *f)
{
    return find_from(site, f, NULL);
}

struct route_match route_find_after(const struct route_conf *route, const struct facts *f)
{
    return find_from(route->site, f, route);
}

uint32_t route_group_count(const struct route_conf *route)
{
    uint32_t most = TEMPLATE_NO_GROUPS;
    for (uint32_t i = 0; i < route->path_count; i++)
        if (route->paths[i].regex && regex_group_count(route->paths[i].regex) + 1 > most)
            most = regex_group_count(route->paths[i].regex) + 1;
    return most;
}

/* ---- routes that hide others ---- */

static bool path_covers(const struct path_match *a, const struct path_match *b)
{
    switch (a->kind) {
    case PATH_ANY: return true;
    case PATH_EXACT: return b->kind == PATH_EXACT && slice_eq(a->text, b->text);
    case PATH_PREFIX:
        return (b->kind == PATH_EXACT || b->kind == PATH_PREFIX) && slice_starts(b->text, a->text);
    case PATH_SUFFIX:
        return (b->kind == PATH_EXACT || b->kind == PATH_SUFFIX) && slice_ends(b->text, a->text);
    case PATH_REGEX: return b->kind == PATH_REGEX && slice_eq(a->text, b->text);
    }
    return false;
}

static bool some_path_covers(const struct route_conf *route, const struct path_match *path)
{
    for (uint32_t i = 0; i < route->path_count; i++)
        if (path_covers(&route->paths[i], path))
            return true;
    return route->path_count == 0;
}

bool route_covers(const struct route_conf *earlier, const struct route_conf *later)
{
    static const struct path_match any = {.kind = PATH_ANY};
    if (earlier->is_internal || earlier->match.count)
        return false;
    for (uint32_t i = 0; i < later->path_count; i++)
        if (!some_path_covers(earlier, &later->paths[i]))
            return false;
    return later->path_count || some_path_covers(earlier, &any);
}
