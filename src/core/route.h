/* Which site and which route serve a request.
 *
 * Sites are found by Host: an exact name wins over a wildcard, a longer wildcard over a shorter
 * one, and any name over the default site `*`. Without a match there is no site (404). Inside the
 * site routes are tried in file order and the first that matches wins.
 *
 * Everything here is immutable after loading; workers look up concurrently.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"
#include "config/address.h"
#include "config/source.h"
#include "core/compress_conf.h"
#include "core/error_pages.h"
#include "core/script_conf.h"
#include "core/serve_conf.h"
#include "rewrite/match.h"

struct action;
struct admission;
struct host_table;
struct pool_conf;
struct rewrite;
struct site_conf;
struct snapshot;

enum path_kind { PATH_ANY, PATH_EXACT, PATH_PREFIX, PATH_SUFFIX, PATH_REGEX };

enum priority { PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_LOW };

struct path_match {
    enum path_kind kind;
    struct slice text;   /* what is compared: without the asterisk */
    struct regex *regex; /* PATH_REGEX */
};

/* A route matches when one of its paths does, if it has any, and all of its conditions hold. */
struct route_conf {
    struct match match; /* first: what its options fill */
    struct path_match *paths;
    uint32_t path_count;

    bool is_internal; /* only for requests that were sent here from inside (reroute.h) */

    const struct site_conf *site;      /* that it is of */
    struct rewrite *rewrite;           /* what it changes; NULL: nothing */
    const struct admission *admission; /* who may use it; NULL: anybody */
    struct admission *own_admission;   /* while loading: what the route itself says */
    const struct action *action;       /* what it does */
    void *action_conf;                 /* the action's own */
    struct config_place action_at;

    bool needs_root;  /* the action serves what is there */
    bool passes_over; /* a request may go on to the routes behind */

    const struct pool_conf *pool; /* NULL: the action needs none */
    uint32_t pool_index;          /* of pool in snapshot.pools */
    int priority;                 /* enum priority: in the pool's queue */

    struct script_conf script;
    struct compress_conf compress;
    struct serve_conf serve;
    struct error_pages pages;

    struct slice text; /* the route's matchers as written, for logs */
    struct slice pool_name;
    struct config_place pool_at;
    struct config_place at;
};

struct route_match {
    const struct route_conf *route; /* NULL: none matches */
    bool gave_up; /* a regex was too costly for this path: no later route is tried, since the one
                     in doubt might be there to keep the request from it */
};

/* NULL: none has this host. */
const struct site_conf *route_find_site(const struct snapshot *s, struct slice host);
struct route_match route_find(const struct site_conf *site, const struct facts *f);
/* The same, among the routes behind this one of its site. */
struct route_match route_find_after(const struct route_conf *route, const struct facts *f);

/* Why a route does not match: the first of its demands that is not met. */
enum route_miss { MISS_NONE, MISS_PATH, MISS_INTERNAL, MISS_CONDITION, MISS_GAVE_UP };

/* *missed: the condition, for MISS_CONDITION; else NULL. */
enum route_miss route_try(const struct route_conf *route, const struct facts *f,
                          const struct cond **missed);

/* How many groups templates of the route may refer to, the whole match included; 0: none. */
uint32_t route_group_count(const struct route_conf *route);

/* Builds the table that finds sites; reports names that stand twice. */
struct host_table *route_index_sites(struct config_reader *r, const struct site_conf *sites,
                                     uint32_t count);
/* Whether every request that reaches `later` matches `earlier`, as far as paths can tell. */
bool route_covers(const struct route_conf *earlier, const struct route_conf *later);

#endif
