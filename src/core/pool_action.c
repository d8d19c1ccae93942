/* The actions that pass a request to a pool: `proxy POOL`, and `cgi DIR`, whose pool is made from
 * the route. SPDX-License-Identifier: MIT */
#include "config/suggest.h"
#include "core/action.h"
#include "core/demand.h"
#include "core/forward.h"
#include "core/generation.h"
#include "core/rewriting.h"
#include "core/route.h"
#include "core/snapshot.h"
#include "rewrite/rules_conf.h"

/* ---- serving ---- */

static bool buffers_request(const struct exchange *x)
{
    bool needed = x->attempt.codec->needs_length && x->req_framing.kind == BODY_CHUNKED;
    return x->request == MSG_BODY && (needed || x->serve->buffer_request);
}

static void open_buffers(struct exchange *x)
{
    x->buffer_response = x->serve->buffer_response;
    if (x->buffer_response)
        x->resp_body.window = x->serve->buffer_file;
    if (buffers_request(x))
        x->req_body.window = x->attempt.replay.window = x->serve->buffer_file;
}

static enum next run(struct exchange *x)
{
    struct fault f;
    struct gateway_pool *pool = x->tenure->generation->pools[x->route->pool_index];
    attempt_init(&x->attempt, &pool->pool, pool->codec);
    demand_init(x);
    if (pool->codec->check && pool->codec->check(&x->req.fields, &f) != PARSE_DONE) {
        exchange_fail(x, f.status, f.what, f.rule);
        return NEXT;
    }
    if (!forward_counts_hop(x))
        return NEXT;
    forward_request(x);
    if (!rewriting_request(x) || !rewriting_params(x))
        return NEXT;
    if (pool->codec->wants_cgi && script_is_beneath_file(&x->route->script, x->path, &x->arena)) {
        exchange_fail(x, 404, "the path of the script leads through a file", NULL);
        return NEXT;
    }
    open_buffers(x);
    exchange_enter(x, buffers_request(x) ? EX_BUFFER : EX_PICK, "for a pool");
    return NEXT;
}

static void explain(struct explaining *e)
{
    fprintf(e->out, "%s " SLICE_FMT "\n", e->route->action->name, SLICE_ARG(e->route->pool_name));
}

/* ---- proxy POOL ---- */

static bool unknown_pool(struct config_reader *r, const struct snapshot *s,
                         const struct route_conf *route)
{
    if (slice_find(route->pool_name, ':') < route->pool_name.n)
        return config_error(r->diag, route->pool_at,
                            "'proxy' takes the name of a pool, not an address\n"
                            "write: pool app { backend " SLICE_FMT " }, and here: proxy app",
                            SLICE_ARG(route->pool_name));
    struct suggest near = suggest_for(route->pool_name);
    for (uint32_t i = 0; i < s->pool_count; i++)
        suggest_try(&near, s->pools[i].name.p ? s->pools[i].name.p : "");
    return config_error(r->diag, route->pool_at, "there is no pool '" SLICE_FMT "'%s%s%s",
                        SLICE_ARG(route->pool_name), near.best ? "\ndid you mean '" : "",
                        near.best ? near.best : "", near.best ? "'?" : "");
}

static bool finish(struct config_reader *r, struct snapshot *s, struct route_conf *route)
{
    route->pool = snapshot_find_pool(s, route->pool_name);
    if (!route->pool)
        return unknown_pool(r, s, route);
    route->pool_index = (uint32_t)(route->pool - s->pools);
    if (route->pool->host_mode != HOST_KEEP) /* its answers are mapped back */
        rules_of(r, &route->rewrite);
    return true;
}

bool pool_action_set_proxy(struct config_reader *r, const struct directive *d,
                           const struct config_word *word, void *target)
{
    static const struct action proxy = {"proxy", finish, run, explain};
    struct route_conf *route = target;
    route->pool_name = word->text;
    route->pool_at = word->at;
    return action_choose(r, route, &proxy, d->name.at);
}

/* ---- cgi DIR ---- */

/* The name of the pool of a directory: "cgi-usr-lib-cgi-bin". Routes of one directory share it, and
 * it stays the same when the configuration is loaded again. */
static struct slice pool_name_of(struct arena *a, struct slice dir)
{
    struct slice name = arena_printf(a, "cgi" SLICE_FMT, SLICE_ARG(dir));
    char *p = (char *)name.p;
    for (size_t i = 0; i < name.n; i++)
        if (p[i] == '/')
            p[i] = '-';
    while (slice_ends(name, SLICE("-")))
        name.n--;
    return name;
}

static void add_pool(struct config_reader *r, struct slice name, const struct config_word *dir)
{
    struct snapshot *s = r->root;
    struct pool_conf *pool = config_append(r, &s->pools, &s->pool_count, sizeof(*s->pools));
    config_defaults(r, pool_keys, pool);
    pool->name = name;
    pool->protocol = SLICE("cgi");
    pool->at = pool->protocol_at = dir->at;
    struct backend_conf *b =
        config_append(r, &pool->backends, &pool->backend_count, sizeof(*pool->backends));
    *b = (struct backend_conf){.program = dir->text, .scheme = pool->protocol, .weight = 1};
    b->at = dir->at;
}

bool pool_action_set_cgi(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    static const struct action cgi = {"cgi", finish, run, explain};
    struct route_conf *route = target;
    if (!slice_starts(word->text, SLICE("/")))
        return config_error(
            r->diag, word->at,
            "'cgi' takes an absolute path: a directory of programs, or one program");
    route->pool_name = pool_name_of(r->arena, word->text);
    route->pool_at = word->at;
    if (!snapshot_find_pool(r->root, route->pool_name))
        add_pool(r, route->pool_name, word);
    return action_choose(r, route, &cgi, d->name.at);
}
