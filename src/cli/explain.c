/* SPDX-License-Identifier: MIT */
#include "cli/explain.h"

#include <string.h>

#include "cli/explain_rules.h"
#include "core/action.h"
#include "core/admit.h"
#include "http/uri.h"
#include "net/addr.h"
#include "pool/pool_explain.h"

enum { EXPLAIN_SERVED = 0, EXPLAIN_REFUSED = 1, EXPLAIN_USAGE = 2 };

struct question {
    struct arena *arena;
    struct fields fields;
    struct net_addr client;
    struct target target;    /* as in the URL */
    struct mount site_mount; /* by the site's rules */
    struct facts facts;
};

static bool refuse(const char *what, struct slice text)
{
    fprintf(stderr, "sluice explain: %s: '" SLICE_FMT "'\n", what, SLICE_ARG(text));
    return false;
}

static bool add_header(struct question *q, const char *text)
{
    struct slice line = slice_str(text);
    size_t colon = slice_find(line, ':');
    struct slice name = slice_trim(slice_first(line, colon));
    if (colon == line.n || name.n == 0)
        return refuse("a header is written as 'NAME: VALUE'", line);
    fields_add(&q->fields, q->arena, field_lookup(name), name,
               slice_trim(slice_skip(line, colon + 1)));
    return true;
}

static bool read_options(struct question *q, const struct cli_args *args)
{
    const char *client = cli_args_get(args, "client");
    for (uint32_t i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].option->name, "header") == 0 &&
            !add_header(q, args->values[i].text))
            return false;
    if (client && !net_addr_literal(slice_str(client), 0, &q->client))
        return refuse("the client is an IP address", slice_str(client));
    q->facts.client = client ? &q->client.sa : NULL;
    q->facts.fields = &q->fields;
    q->facts.client_text = client ? slice_str(client) : SLICE_NONE;
    return true;
}

/* http://HOST[:PORT]/PATH, or a path for the host that the Host field names. */
static bool read_url(struct question *q, struct slice url)
{
    struct facts *f = &q->facts;
    struct slice rest = url;
    size_t scheme = slice_find(url, ':');
    int port;
    f->scheme = SLICE("http");
    f->authority = fields_value(&q->fields, FIELD_HOST);
    if (scheme + 2 < url.n && slice_starts(slice_skip(url, scheme), SLICE("://"))) {
        f->scheme = slice_first(url, scheme);
        rest = slice_skip(url, scheme + 3);
        size_t slash = slice_find(rest, '/'), mark = slice_find(rest, '?');
        f->authority = slice_first(rest, slash < mark ? slash : mark);
        rest = slice_skip(rest, f->authority.n);
    } else if (!slice_starts(url, SLICE("/")) && !slice_eq(url, SLICE("*"))) {
        return refuse("a URL begins with http:// or, for the default site, with '/'", url);
    }
    if (f->authority.n && !uri_split_authority(f->authority, &f->host, &port))
        return refuse("this is no host", f->authority);
    f->target = slice_first(rest, slice_find(rest, '#'));
    return true;
}

/* A target as it is in a request line, or as something inside the gateway makes it. */
static bool set_target(struct question *q, struct slice target)
{
    struct fault fault = {0};
    size_t mark = slice_find(target, '?');
    q->target.path = slice_first(target, mark);
    q->target.has_query = mark < target.n;
    q->target.query = slice_skip(target, mark + q->target.has_query);
    if (q->target.path.n == 0)
        q->target.path = SLICE("/");
    q->target.mount = q->site_mount;
    q->facts.query = q->target.query;
    q->facts.path = q->target.path;
    if (slice_eq(q->target.path, SLICE("*")) ||
        uri_normalise_path(q->target.path, q->arena, &q->facts.path, &fault) == PARSE_DONE)
        return true;
    fprintf(stderr, "sluice explain: the path would be refused with %u: %s\n", fault.status,
            fault.what);
    return false;
}

/* ---- the answer ---- */

static void print_place(FILE *out, const struct config_place *at)
{
    if (at->file)
        fprintf(out, "  (" SLICE_FMT ":%u)", SLICE_ARG(at->file->path), at->line);
    fputc('\n', out);
}

static void print_label(FILE *out, const char *label)
{
    fprintf(out, "%-10s", label);
}

static const char *miss_text(enum route_miss miss, const struct cond *missed)
{
    switch (miss) {
    case MISS_NONE: return "matches";
    case MISS_PATH: return "no: the path does not match";
    case MISS_INTERNAL: return "no: it is internal, for requests sent on from inside";
    case MISS_CONDITION: return match_miss(missed);
    case MISS_GAVE_UP: return "its regular expression takes too many steps for this path";
    }
    return "";
}

static void print_site(FILE *out, const struct site_conf *site)
{
    print_label(out, "site");
    for (uint32_t i = 0; i < site->name_count; i++)
        fprintf(out, "%s" SLICE_FMT, i ? " " : "", SLICE_ARG(site->names[i].text));
    print_place(out, &site->at);
}

/* from: what is behind it counts; NULL: all. */
static void print_routes(FILE *out, const struct question *q, const struct site_conf *site,
                         const struct route_conf *from, const struct route_match *match)
{
    uint32_t first = from ? (uint32_t)(from - site->routes) + 1 : 0;
    for (uint32_t i = first; i < site->route_count; i++) {
        const struct route_conf *route = &site->routes[i];
        const struct cond *missed;
        enum route_miss miss = route_try(route, &q->facts, &missed);
        print_label(out, i == first ? "routes" : "");
        fprintf(out, SLICE_FMT "  %s%s", SLICE_ARG(route->text),
                miss == MISS_CONDITION ? "no: "
                : miss == MISS_GAVE_UP ? "unknown: "
                                       : "",
                miss_text(miss, missed));
        print_place(out, &route->at);
        if (route == match->route || miss == MISS_GAVE_UP)
            return;
    }
}

static void print_time(FILE *out, const char *name, uint32_t ms)
{
    if (ms % 3600000 == 0 && ms)
        fprintf(out, "  %s=%uh", name, ms / 3600000);
    else if (ms % 60000 == 0 && ms)
        fprintf(out, "  %s=%um", name, ms / 60000);
    else if (ms % 1000 == 0)
        fprintf(out, "  %s=%us", name, ms / 1000);
    else
        fprintf(out, "  %s=%ums", name, ms);
}

static void print_count(FILE *out, const char *name, uint64_t n)
{
    if (n && n % (1 << 20) == 0)
        fprintf(out, "  %s=%llum", name, (unsigned long long)n >> 20);
    else if (n && n % (1 << 10) == 0)
        fprintf(out, "  %s=%lluk", name, (unsigned long long)n >> 10);
    else if (n)
        fprintf(out, "  %s=%llu", name, (unsigned long long)n);
    else
        fprintf(out, "  %s=unlimited", name);
}

/* What the application is told of the path; programs of CGI are looked for when they are run. */
static void print_script(const struct question *q, const struct route_conf *route, FILE *out)
{
    struct cgi_info info = {0};
    bool runs_programs = route->pool->backend_count && route->pool->backends->program.n;
    if (!route->script.is_used || runs_programs)
        return;
    script_split(&route->script, q->facts.path, q->arena, &info);
    print_label(out, "script");
    fprintf(out, "SCRIPT_NAME=" SLICE_FMT SLICE_FMT "  PATH_INFO=" SLICE_FMT,
            SLICE_ARG(q->target.mount.prefix), SLICE_ARG(info.script_name),
            SLICE_ARG(info.path_info));
    if (info.script_name.n && info.document_root.n)
        fprintf(out, "  SCRIPT_FILENAME=" SLICE_FMT SLICE_FMT, SLICE_ARG(info.document_root),
                SLICE_ARG(info.script_name));
    fputc('\n', out);
    if (script_is_beneath_file(&route->script, q->facts.path, q->arena))
        fputs("            its path leads through a file: answered with 404\n", out);
}

static void print_pool(FILE *out, const struct pool_conf *pool)
{
    print_label(out, "pool");
    fprintf(out, SLICE_FMT, SLICE_ARG(pool->name));
    print_place(out, &pool->at);
    for (uint32_t i = 0; i < pool->backend_count; i++) {
        const struct backend_conf *b = &pool->backends[i];
        print_label(out, i ? "" : "backends");
        fprintf(out, SLICE_FMT "://" SLICE_FMT, SLICE_ARG(pool->protocol),
                SLICE_ARG(b->program.n ? b->program : b->text));
        fprintf(out, "  weight=%u%s", b->weight, b->is_backup ? "  backup" : "");
        print_count(out, "max-conns", b->max_conns);
        print_place(out, &b->at);
    }
    fputs("queue   ", out);
    print_count(out, "max-conns", pool->max_conns);
    fprintf(out, "  length=%u", pool->queue_length);
    print_time(out, "timeout", pool->queue_ms);
    print_time(out, "target", pool->queue_target_ms ? pool->queue_target_ms : pool->queue_ms / 2);
    fputc('\n', out);
    pool_explain(out, pool);
    print_label(out, "host");
    if (pool->host_mode == HOST_FIXED)
        fprintf(out, SLICE_FMT "\n", SLICE_ARG(pool->host));
    else
        fputs(pool->host_mode == HOST_KEEP ? "as the client sent it\n" : "the backend's own\n",
              out);
}

static void print_limits(FILE *out, const struct gateway_conf *g, const struct route_conf *route)
{
    fputs("limits  ", out);
    print_count(out, "head", g->head_bytes);
    print_count(out, "target", g->target_bytes);
    print_count(out, "fields", g->fields);
    print_count(out, "body", route->serve.body_bytes);
    print_count(out, "window", g->window);
    if (route->serve.rate_bytes)
        print_count(out, "rate", route->serve.rate_bytes);
    fputc('\n', out);
    fputs("client  ", out);
    print_time(out, "head", g->head_ms);
    print_time(out, "body", route->serve.body_ms);
    print_time(out, "write", route->serve.write_ms);
    print_time(out, "idle", g->idle_ms);
    print_time(out, "tunnel", route->serve.tunnel_ms);
    fputc('\n', out);
}

static void print_backend_limits(FILE *out, const struct route_conf *route)
{
    const struct serve_conf *serve = &route->serve;
    fputs("backend ", out);
    print_time(out, "connect", route->pool->connect_ms);
    print_time(out, "queue", serve->queue_ms);
    print_time(out, "response", serve->response_ms);
    print_time(out, "idle", serve->idle_ms);
    if (serve->request_ms)
        print_time(out, "request", serve->request_ms);
    fprintf(out, "  attempts=%u\n", route->pool->attempts);
    print_label(out, "buffer");
    fprintf(out, "%s%s%s", serve->buffer_request ? "request" : "",
            serve->buffer_request && serve->buffer_response ? " " : "",
            serve->buffer_response  ? "response"
            : serve->buffer_request ? ""
                                    : "off");
    if (serve->buffer_request || serve->buffer_response) {
        print_count(out, "memory", serve->buffer_memory);
        print_count(out, "file", serve->buffer_file);
    }
    fputc('\n', out);
}

static void print_pool_of(FILE *out, const struct snapshot *s, const struct route_conf *route)
{
    if (route->pool)
        print_pool(out, route->pool);
    print_limits(out, &s->gateway, route);
    if (route->pool)
        print_backend_limits(out, route);
    print_label(out, "compress");
    compress_conf_explain(&route->compress, out);
    error_pages_explain(&route->pages, out);
}

/* ---- one after the other, as the exchange does it ---- */

static bool find_route(const struct site_conf *site, struct question *q, FILE *out,
                       const struct route_conf **route)
{
    struct route_match match =
        *route ? route_find_after(*route, &q->facts) : route_find(site, &q->facts);
    print_routes(out, q, site, *route, &match);
    *route = match.route;
    if (match.route)
        return true;
    print_label(out, "route");
    fputs(match.gave_up ? "in doubt: answered with 500\n" : "none matches: answered with 404\n",
          out);
    return false;
}

/* The groups of the route's expression, for its templates. */
static void find_groups(struct question *q, const struct route_conf *route, struct groups *groups)
{
    q->facts.groups = NULL;
    for (uint32_t i = 0; i < route->path_count && !q->facts.groups; i++)
        if (route->paths[i].kind == PATH_REGEX &&
            regex_find(route->paths[i].regex, q->facts.path, 0, groups) == REGEX_YES)
            q->facts.groups = groups;
}

static void print_onward(FILE *out, const struct question *q)
{
    print_label(out, "sent as");
    fprintf(out, SLICE_FMT " " SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(q->facts.method),
            SLICE_ARG(q->target.path), q->target.has_query ? "?" : "", SLICE_ARG(q->target.query));
    if (q->target.mount.host.n)
        fprintf(out, "  host " SLICE_FMT, SLICE_ARG(q->target.mount.host));
    fputc('\n', out);
}

static bool run_rules(const struct snapshot *s, struct question *q, const struct rewrite *rewrite,
                      const struct route_conf *route, FILE *out)
{
    struct fields fields = {0};
    if (!rewrite || !explain_target(out, rewrite, &q->facts, &q->target, &s->gateway, q->arena))
        return !rewrite;
    if (!route)
        return true;
    for (unsigned i = 0; i < q->fields.n; i++)
        fields_add(&fields, q->arena, q->fields.v[i].id, q->fields.v[i].name, q->fields.v[i].value);
    bool fine = explain_fields(out, rewrite, &q->facts, &fields, &s->gateway, q->arena);
    q->facts.fields = &q->fields;
    return fine;
}

static void run_action(const struct snapshot *s, const struct question *q,
                       const struct route_conf *route, FILE *out, struct explaining *e)
{
    *e = (struct explaining){
        .out = out, .arena = q->arena, .snapshot = s, .route = route, .facts = &q->facts};
    print_label(out, "action");
    if (route->action->explain)
        route->action->explain(e);
    else
        fprintf(out, "%s\n", route->action->name);
}

/* From finding a route to what it does. EXPLAIN_AGAIN: the request goes on with another. */
enum { EXPLAIN_AGAIN = -1 };

static int run_route(const struct snapshot *s, const struct site_conf *site, struct question *q,
                     const struct route_conf **route, FILE *out)
{
    struct groups groups;
    struct explaining e;
    if (!find_route(site, q, out, route))
        return EXPLAIN_REFUSED;
    const struct route_conf *found = *route;
    const struct target came = q->target;
    const struct facts known = q->facts;
    q->facts.pool = found->pool ? found->pool->name : SLICE_NONE;
    find_groups(q, found, &groups);
    if (!run_rules(s, q, found->rewrite, found, out))
        return EXPLAIN_REFUSED;
    if (found->admission)
        admission_explain(found->admission, &q->facts, out);
    run_action(s, q, found, out, &e);
    if (e.next.n) {
        print_label(out, "goes on");
        fprintf(out, SLICE_FMT "\n", SLICE_ARG(e.next));
        *route = NULL;
        q->facts.is_internal = true;
        return set_target(q, e.next) ? EXPLAIN_AGAIN : EXPLAIN_REFUSED;
    }
    if (e.passes_over) {
        q->target = came;
        q->facts = known;
        return EXPLAIN_AGAIN;
    }
    if (found->pool && found->rewrite)
        print_onward(out, q);
    if (found->rewrite)
        explain_response(out, found->rewrite, &q->target);
    if (found->pool)
        print_script(q, found, out);
    print_pool_of(out, s, found);
    return EXPLAIN_SERVED;
}

static int run_site(const struct snapshot *s, const struct site_conf *site, struct question *q,
                    FILE *out)
{
    const struct route_conf *route = NULL;
    int status = EXPLAIN_AGAIN;
    q->facts.site = site->names[0].text;
    if (!run_rules(s, q, site->rewrite, NULL, out))
        return EXPLAIN_REFUSED;
    q->site_mount = q->target.mount;
    for (uint32_t hops = 0; status == EXPLAIN_AGAIN; hops += !route) {
        if (hops > s->gateway.reroutes) {
            fputs("too many internal redirects (limit reroutes): answered with 500\n", out);
            return EXPLAIN_REFUSED;
        }
        status = run_route(s, site, q, &route, out);
    }
    return status;
}

static int print_answer(const struct snapshot *s, struct question *q, FILE *out)
{
    const struct site_conf *site = route_find_site(s, q->facts.host);
    print_label(out, "request");
    fprintf(out, SLICE_FMT " " SLICE_FMT, SLICE_ARG(q->facts.method), SLICE_ARG(q->facts.path));
    if (q->facts.host.n)
        fprintf(out, "  host " SLICE_FMT, SLICE_ARG(q->facts.host));
    fputs(slice_eq(q->facts.path, q->target.path) ? "\n" : "  (the path as routes see it)\n", out);
    if (!site) {
        print_label(out, "site");
        fputs("none has this host: answered with 404\n", out);
        return EXPLAIN_REFUSED;
    }
    print_site(out, site);
    return run_site(s, site, q, out);
}

int explain_request(const struct snapshot *s, const struct cli_args *args, FILE *out)
{
    struct buf_pool memory;
    struct arena arena;
    buf_pool_init(&memory, 0);
    arena_init(&arena, &memory);
    struct question q = {.arena = &arena, .facts.method = slice_str(args->operands[0])};
    int status = EXPLAIN_USAGE;
    if (read_options(&q, args) && read_url(&q, slice_str(args->operands[1])) &&
        set_target(&q, q.facts.target))
        status = print_answer(s, &q, out);
    arena_fini(&arena);
    buf_pool_fini(&memory);
    return status;
}
