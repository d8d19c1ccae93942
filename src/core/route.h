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
#include "core/script_conf.h"
#include "core/serve_conf.h"
#include "http/field.h"

struct action;
struct admission;
struct config_reader;
struct host_table;
struct pool_conf;
struct regex;
struct site_conf;
struct snapshot;

enum path_kind { PATH_ANY, PATH_EXACT, PATH_PREFIX, PATH_SUFFIX, PATH_REGEX };

enum priority { PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_LOW };

struct path_match {
    enum path_kind kind;
    struct slice text;   /* what is compared: without the asterisk */
    struct regex *regex; /* PATH_REGEX */
};

struct field_match {
    struct slice name;
    struct slice value; /* meaningless unless has_value: then the field must be there */
    bool has_value;
};

/* A route matches when one pattern of each list that is not empty does; header= all must. */
struct route_conf {
    struct path_match *paths;
    struct slice *methods;
    struct slice *hosts; /* lower case; may begin with "*." */
    struct field_match *headers;
    struct cidr *clients;
    uint32_t path_count, method_count, host_count, header_count, client_count;

    bool is_internal; /* only for requests that were sent here from inside (reroute.h) */

    const struct admission *admission; /* who may use it; NULL: anybody */
    const struct action *action;       /* what it does */
    void *action_conf;                 /* the action's own */
    struct config_place action_at;

    bool passes_over; /* a request may go on to the routes behind */

    const struct pool_conf *pool; /* NULL: the action needs none */
    uint32_t pool_index;          /* of pool in snapshot.pools */
    int priority;                 /* enum priority: in the pool's queue */

    struct script_conf script;
    struct compress_conf compress;
    struct serve_conf serve;

    struct slice text; /* the route's matchers as written, for logs */
    struct slice pool_name;
    struct config_place pool_at;
    struct config_place at;
};

/* What routing looks at. */
struct route_query {
    struct slice host; /* without port; any case */
    struct slice path; /* normalised (uri_normalise_path), or "*" */
    struct slice method;
    const struct fields *fields;   /* NULL: none */
    const struct sockaddr *client; /* NULL: unknown, matches no client= */
    bool is_internal;              /* sent by an answer or another route, not by a client */
};

struct route_match {
    const struct site_conf *site;   /* NULL: no site has this host */
    const struct route_conf *route; /* NULL: no route of the site matches */
    bool gave_up; /* a regex was too costly for this path: no later route is tried, since the one
                     in doubt might be there to keep the request from it */
};

struct route_match route_find(const struct snapshot *s, const struct route_query *q);
/* The same, among the routes behind this one of the site. */
struct route_match route_find_after(const struct snapshot *s, const struct route_query *q,
                                    const struct route_conf *route);

/* Why a route does not match: the first matcher that refuses. */
enum route_miss {
    MISS_NONE,
    MISS_PATH,
    MISS_INTERNAL,
    MISS_METHOD,
    MISS_HOST,
    MISS_HEADER,
    MISS_CLIENT,
    MISS_GAVE_UP
};

enum route_miss route_try(const struct route_conf *route, const struct route_query *q);
const struct site_conf *route_find_site(const struct snapshot *s, struct slice host);

/* Builds the table that finds sites; reports names that stand twice. */
struct host_table *route_index_sites(struct config_reader *r, const struct site_conf *sites,
                                     uint32_t count);
/* Whether every request that reaches `later` matches `earlier`, as far as paths can tell. */
bool route_covers(const struct route_conf *earlier, const struct route_conf *later);

#endif
