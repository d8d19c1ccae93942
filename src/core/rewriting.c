/* SPDX-License-Identifier: MIT */
#include "core/rewriting.h"

#include "core/site_conf.h"
#include "core/worker.h"
#include "http/percent.h"
#include "http/uri.h"
#include "net/addr.h"
#include "rewrite/map_back.h"

/* ---- what was asked for ---- */

void rewriting_keep_asked(struct exchange *x)
{
    if (x->record.target.p)
        return;
    x->record.method = x->req.method_text;
    x->record.target = x->req.target;
    x->record.host = x->req.authority;
}

/* Of an absolute-form (RFC 9112 3.2.2) what is behind the authority. */
struct slice rewriting_asked(struct exchange *x)
{
    struct slice target = x->record.target.p ? x->record.target : x->req.target;
    size_t scheme = slice_find(target, ':');
    if (!target.n || target.p[0] == '/' || !slice_starts(slice_skip(target, scheme), SLICE("://")))
        return target;
    target = slice_skip(target, scheme + 3);
    size_t slash = slice_find(target, '/'), mark = slice_find(target, '?');
    if (slash < mark)
        return slice_skip(target, slash);
    return arena_printf(&x->arena, "/" SLICE_FMT, SLICE_ARG(slice_skip(target, mark)));
}

/* ---- facts ---- */

static uint16_t local_port(const struct exchange *x)
{
    struct sockaddr_storage sa;
    struct net_addr a;
    socklen_t len = x->front->local(x, &sa);
    if (!len || sa.ss_family == AF_UNIX)
        return 0;
    net_addr_set(&a, (const struct sockaddr *)&sa, len);
    return net_addr_port(&a);
}

/* The groups of the first of the route's expressions that matches, as when it was found. */
static const struct groups *route_groups(const struct exchange *x, struct groups *groups)
{
    const struct route_conf *route = x->route;
    for (uint32_t i = 0; i < route->path_count; i++) {
        const struct path_match *m = &route->paths[i];
        if (m->kind == PATH_REGEX && regex_find(m->regex, x->matched, 0, groups) == REGEX_YES)
            return groups;
    }
    return NULL;
}

void rewriting_route_facts(const struct exchange *x, struct facts *f)
{
    *f = (struct facts){
        .host = x->req.host,
        .path = x->path,
        .query = x->req.query,
        .method = x->req.method_text,
        .scheme = x->https ? SLICE("https") : SLICE("http"),
        .fields = &x->req.fields,
        .client = &x->asker.sa,
        .is_internal = x->reroutes > 0,
    };
}

void rewriting_fill_facts(struct exchange *x, struct facts *f, struct groups *groups)
{
    const struct route_conf *route = x->route;
    int port;
    rewriting_route_facts(x, f);
    f->target = rewriting_asked(x);
    f->authority = x->record.target.p ? x->record.host : x->req.authority;
    f->client_text = x->asker_text;
    f->prefix = x->mount.prefix;
    f->id = x->id;
    if (x->record.target.p && !uri_split_authority(f->authority, &f->host, &port))
        f->host = SLICE_NONE;
    if (!route)
        return;
    f->site = route->site->names[0].text;
    f->pool = route->pool ? route->pool->name : SLICE_NONE;
    if (route->rewrite && route->rewrite->needs_port)
        f->port = local_port(x);
    if (groups && route->rewrite && route->rewrite->needs_groups)
        f->groups = route_groups(x, groups);
}

/* ---- failures ---- */

static uint16_t status_of(enum rule_result result)
{
    switch (result) {
    case RULE_CONTROL:
    case RULE_NO_PATH:
    case RULE_NO_HOST: return 400;
    case RULE_TOO_LONG: return 414;
    case RULE_COSTLY:
    case RULE_SKIPPED:
    case RULE_APPLIED: break;
    }
    return 500;
}

static const char *why(struct exchange *x, const struct rule *rule, enum rule_result result)
{
    return arena_printf(&x->arena, "the rule at line %u of the configuration %s: " SLICE_FMT,
                        rule->at.line, rule_result_text(result), SLICE_ARG(rule->text))
        .p;
}

/* ---- the target ---- */

static void commit_target(struct exchange *x, const struct facts *f, const struct target *t)
{
    struct request_head *req = &x->req;
    bool changed = t->path.p != req->path.p || t->path.n != req->path.n ||
                   t->query.p != req->query.p || t->has_query != req->has_query;
    x->path = f->path;
    x->mount = t->mount;
    if (!changed)
        return;
    rewriting_keep_asked(x);
    req->form = TARGET_ORIGIN;
    req->path = t->path;
    req->query = t->query;
    req->has_query = t->has_query;
    char *start = arena_alloc(&x->arena, t->path.n + t->query.n + 1);
    char *p = slice_put(start, t->path);
    if (t->has_query) {
        *p++ = '?';
        p = slice_put(p, t->query);
    }
    req->target = slice_of(start, (size_t)(p - start));
}

enum parse rewriting_target(struct exchange *x, const struct rewrite *rewrite, struct facts *f,
                            struct fault *fault)
{
    const struct rule *rule;
    struct target t = {
        .path = x->req.path,
        .query = x->req.query,
        .has_query = x->req.has_query,
        .mount = x->mount,
    };
    size_t max = x->worker->snapshot->gateway.target_bytes;
    enum rule_result result = rules_apply_target(&rewrite->target, f, &t, max, &x->arena, &rule);
    if (result == RULE_SKIPPED)
        return PARSE_DONE;
    if (result != RULE_APPLIED)
        return fault_bad(fault, status_of(result), why(x, rule, result), NULL);
    commit_target(x, f, &t);
    return PARSE_DONE;
}

/* ---- fields ---- */

bool rewriting_request(struct exchange *x)
{
    const struct rewrite *rewrite = x->route->rewrite;
    if (!rewrite || !rewrite->request.n)
        return true;
    struct facts f;
    struct groups groups;
    const struct rule *rule;
    rewriting_fill_facts(x, &f, &groups);
    enum rule_result result =
        rules_apply_fields(&rewrite->request, &f, &x->req.fields,
                           x->worker->snapshot->gateway.head_bytes, &x->arena, &rule);
    if (result <= RULE_APPLIED)
        return true;
    exchange_fail(x, result == RULE_TOO_LONG ? 431 : status_of(result), why(x, rule, result), NULL);
    return false;
}

/* What the backend takes itself to be called. */
static struct slice host_for_backend(const struct exchange *x)
{
    const struct pool_conf *conf = x->attempt.pool->conf;
    if (x->mount.host.n)
        return x->mount.host;
    return conf->host_mode == HOST_FIXED ? conf->host : SLICE_NONE;
}

static bool maps_back(const struct exchange *x, const struct rewrite *rewrite)
{
    bool changed = x->mount.prefix.n || x->mount.prepended.n || x->mount.host.n ||
                   x->attempt.pool->conf->host_mode != HOST_KEEP;
    return rewrite->map_back == MAP_BACK_ON || (rewrite->map_back == MAP_BACK_AUTO && changed);
}

void rewriting_map_back(struct exchange *x)
{
    const struct rewrite *rewrite = x->route->rewrite;
    if (!rewrite)
        return;
    bool is_on = maps_back(x, rewrite);
    if (!is_on && !rewrite->cookie_flags.n)
        return;
    struct mapping m = {.cookie_flags = rewrite->cookie_flags, .is_on = is_on};
    m.prefix = percent_encode(x->mount.prefix, PERCENT_PATH, &x->arena);
    m.prepended = percent_encode(x->mount.prepended, PERCENT_PATH, &x->arena);
    m.host = host_for_backend(x);
    m.backend = slice_str(x->attempt.backend->host);
    m.scheme = x->https ? SLICE("https") : SLICE("http");
    m.authority = x->record.target.p ? x->record.host : x->req.authority;
    map_back_fields(&m, &x->resp.fields, &x->arena);
}

/* A page for an error goes out without what fails. */
static bool fail_response(struct exchange *x, const struct rule *rule, enum rule_result result)
{
    if (x->is_failing)
        return true;
    exchange_fail(x, 500, why(x, rule, result), NULL);
    return false;
}

bool rewriting_response(struct exchange *x)
{
    const struct rewrite *rewrite = x->route ? x->route->rewrite : NULL;
    if (!rewrite || !rewrite->response.n)
        return true;
    struct facts f;
    struct groups groups;
    rewriting_fill_facts(x, &f, &groups);
    for (uint32_t i = 0; i < rewrite->response.n; i++) {
        const struct rule *rule = &rewrite->response.v[i];
        enum rule_result result = rule_apply_response(
            rule, &f, &x->resp, x->worker->snapshot->gateway.head_bytes, &x->arena);
        if (result > RULE_APPLIED && !fail_response(x, rule, result))
            return false;
    }
    return true;
}

/* ---- parameters ---- */

bool rewriting_params(struct exchange *x)
{
    const struct script_conf *conf = &x->route->script;
    if (!conf->has_templates || !x->attempt.codec->wants_cgi)
        return true;
    struct cgi_param *made = arena_alloc(&x->arena, conf->param_count * sizeof(*made));
    for (uint32_t i = 0; i < conf->param_count; i++) {
        made[i].name = conf->params[i].name;
        if (!rewriting_expand(x, &conf->templates[i], &made[i].value))
            return false;
    }
    x->params = made;
    return true;
}

/* ---- actions ---- */

bool rewriting_expand(struct exchange *x, const struct template *t, struct slice *out)
{
    if (template_is_fixed(t, out))
        return true;
    struct facts f;
    struct groups groups;
    rewriting_fill_facts(x, &f, NULL);
    f.port = t->needs_port ? local_port(x) : 0;
    f.groups = t->needs_group ? route_groups(x, &groups) : NULL;
    size_t max = x->worker->snapshot->gateway.head_bytes / 2;
    switch (template_expand(t, &f, f.groups, max, &x->arena, out)) {
    case TEMPLATE_OK: return true;
    case TEMPLATE_CONTROL:
        exchange_fail(x, 400,
                      "what the request brings has control characters in it, which cannot go on",
                      "RFC 9110 5.5");
        return false;
    case TEMPLATE_TOO_LONG:
        exchange_fail(x, 414, "what the request brings makes too long a text", NULL);
        return false;
    }
    return false;
}
