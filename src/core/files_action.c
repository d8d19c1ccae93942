/* The action that serves files: `files`, and where requests go that no file answers.
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "core/action.h"
#include "core/answer.h"
#include "core/file_answer.h"
#include "core/files_explain.h"
#include "core/handoff.h"
#include "core/reroute.h"
#include "core/rewriting.h"
#include "core/route.h"
#include "core/snapshot.h"
#include "core/worker.h"
#include "http/accept.h"
#include "http/percent.h"
#include "http/uri.h"
#include "static/listing.h"
#include "static/lookup.h"

struct files_action {
    struct route_conf *route;
    struct files_conf conf;
};

#define ALLOWED SLICE("GET, HEAD, OPTIONS")

static bool is_read(const struct exchange *x)
{
    return x->req.method == METHOD_GET || x->req.method == METHOD_HEAD;
}

/* Path, and the request's query, as a target. */
static struct slice target_of(struct exchange *x, struct slice path)
{
    const struct request_head *req = &x->req;
    struct slice encoded = percent_encode(path, PERCENT_PATH, &x->arena);
    if (!req->has_query)
        return encoded;
    return arena_printf(&x->arena, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(encoded),
                        SLICE_ARG(req->query));
}

/* ---- no file ---- */

static enum next go_on(struct exchange *x, struct slice target, const char *why)
{
    const struct reroute to = {.target = target, .why = why};
    exchange_reroute(x, &to);
    return NEXT;
}

/* The query goes along where the configuration has none. */
static struct slice else_target(struct exchange *x, struct slice to)
{
    if (!x->req.has_query || slice_find(to, '?') < to.n)
        return to;
    return arena_printf(&x->arena, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(to), SLICE_ARG(x->req.query));
}

static enum next no_file(struct exchange *x, const struct files_conf *conf, const struct lookup *l)
{
    uint16_t status = l->status;
    const char *why = l->why;
    if (x->worker->files.root_error) {
        log_error(x->id, "cannot open the root " SLICE_FMT ": %s", SLICE_ARG(conf->root),
                  strerror(-x->worker->files.root_error));
        status = 500;
        why = "the root of the site cannot be opened (root)";
    } else if (status == 404 && conf->else_next) {
        exchange_pass_over(x, "no file: the next route");
        return NEXT;
    } else if (status == 404 && conf->else_path.n) {
        return go_on(x, else_target(x, conf->else_path), "no file (files else)");
    } else if (status == 404) {
        status = conf->else_status;
    }
    exchange_fail(x, status, why, NULL);
    return NEXT;
}

/* ---- answers ---- */

/* RFC 9110 9.3.7, 15.5.6. */
static enum next refuse_method(struct exchange *x)
{
    bool is_question = x->req.method == METHOD_OPTIONS;
    if (!answer_skip_body(x))
        return NEXT;
    answer_begin(x, is_question ? 204 : 405);
    answer_field(x, FIELD_ALLOW, ALLOWED);
    if (!is_question)
        answer_error_page(x, 405);
    answer_send(x, is_question ? "methods told" : "not a method for files");
    return NEXT;
}

/* What the client asked for, whatever it was rewritten to. */
static struct slice asked_path(struct exchange *x)
{
    struct slice path, query, normal;
    struct fault f;
    if (!uri_split_target(rewriting_asked(x), &path, &query) ||
        uri_normalise_path(path, &x->arena, &normal, &f) != PARSE_DONE)
        return x->path;
    return normal;
}

/* A directory's page refers to its files by relative references, so its own path ends with '/'. */
static enum next add_slash(struct exchange *x)
{
    struct slice path = asked_path(x);
    if (slice_ends(path, SLICE("/")))
        return go_on(x, target_of(x, arena_printf(&x->arena, SLICE_FMT "/", SLICE_ARG(x->path))),
                     "a directory");
    if (!answer_skip_body(x))
        return NEXT;
    answer_begin(x, 301);
    answer_field(x, FIELD_LOCATION,
                 target_of(x, arena_printf(&x->arena, SLICE_FMT "/", SLICE_ARG(path))));
    answer_send(x, "a directory's path ends with '/'");
    return NEXT;
}

static enum next list(struct exchange *x, struct lookup *l)
{
    if (!answer_skip_body(x)) {
        file_unref(l->file);
        return NEXT;
    }
    answer_begin(x, 200);
    answer_field(x, FIELD_CONTENT_TYPE, LISTING_TYPE);
    int error = listing_put(l, asked_path(x), &x->resp_body);
    file_unref(l->file);
    if (error)
        exchange_fail(x, lookup_status(error, &l->why), l->why, NULL);
    else
        answer_send(x, "directory listed");
    return NEXT;
}

/* An index may be a script, which another route takes. */
static bool is_for_another(struct exchange *x, struct slice path)
{
    struct facts facts;
    rewriting_route_facts(x, &facts);
    facts.path = path;
    facts.is_internal = true;
    struct route_match match = route_find(x->route->site, &facts);
    return match.route && match.route != x->route;
}

/* The one that the client likes best, of those not tried; among equals, the configuration's first.
 * What it likes less than the file as it is does not count. */
static bool next_coding(struct accept *accept, unsigned *best)
{
    uint16_t weight = 0;
    for (unsigned i = 0; i < accept->n; i++)
        if (accept->weight[i] > weight && accept->weight[i] >= accept->identity) {
            weight = accept->weight[i];
            *best = i;
        }
    if (weight)
        accept->weight[*best] = 0;
    return weight > 0;
}

/* A coding that lies ready beside the file takes its place. */
static void choose_coding(struct exchange *x, struct lookup *l, struct file_answer *answer)
{
    const struct files_conf *conf = l->conf;
    struct slice names[PRECOMPRESSED_KINDS];
    struct accept accept = {.names = names, .n = conf->precompressed_count};
    unsigned i = 0;
    answer->varies = true;
    for (unsigned k = 0; k < accept.n; k++)
        names[k] = precompressed_name(conf->precompressed[k]);
    accept_encoding(&accept, &x->req.fields);
    while (next_coding(&accept, &i)) {
        struct file *file = lookup_sibling(l, precompressed_extension(conf->precompressed[i]));
        if (!file)
            continue;
        file_unref(answer->file);
        answer->file = file;
        answer->coding = names[i];
        return;
    }
}

static enum next send_file(struct exchange *x, struct lookup *l)
{
    const struct files_conf *conf = l->conf;
    struct file_answer answer = {
        .file = l->file,
        .type = types_find(&conf->types, l->path),
        .cache_control = conf->cache_control,
        .ranges = conf->ranges,
        .kept = handoff_kept(x),
        .why = "file found",
    };
    if (conf->precompressed_count)
        choose_coding(x, l, &answer);
    file_answer_send(x, &answer);
    return NEXT;
}

static enum next serve(struct exchange *x, struct lookup *l)
{
    if (l->is_index && is_for_another(x, l->path)) {
        file_unref(l->file);
        return go_on(x, target_of(x, l->path), "an index");
    }
    if (is_read(x))
        return send_file(x, l);
    file_unref(l->file);
    return refuse_method(x);
}

static enum next run(struct exchange *x)
{
    const struct files_action *action = x->route->action_conf;
    const struct files_conf *conf = &action->conf;
    struct lookup l = {
        .conf = conf,
        .cache = &x->worker->files,
        .cache_conf = &x->worker->snapshot->gateway.open_files,
        .arena = &x->arena,
    };
    if (x->req.form == TARGET_ASTERISK)
        return refuse_method(x);
    switch (lookup_path(&l, x->path)) {
    case FOUND_FILE: return serve(x, &l);
    case FOUND_DIRECTORY: file_unref(l.file); return is_read(x) ? add_slash(x) : refuse_method(x);
    case FOUND_LIST:
        if (is_read(x))
            return list(x, &l);
        file_unref(l.file);
        return refuse_method(x);
    case FOUND_NOTHING: break;
    }
    bool goes_on = conf->else_path.n || conf->else_next;
    return is_read(x) || goes_on ? no_file(x, conf, &l) : refuse_method(x);
}

/* ---- configuration ---- */

static bool finish(struct config_reader *r, struct snapshot *s, struct route_conf *route)
{
    struct files_action *action = route->action_conf;
    (void)s;
    if (!route->script.root.n)
        return config_error(r->diag, route->action_at,
                            "'files' needs to know where they are\n"
                            "write in the route or in the site: root DIR");
    action->conf.root = route->script.root;
    action->conf.index = route->script.index;
    action->conf.index_count = route->script.index_count;
    route->needs_root = true;
    route->passes_over = action->conf.else_next;
    files_conf_finish(r, &action->conf);
    return true;
}

static bool is_script(struct slice name)
{
    static const struct slice extensions[] = {SLICE_INIT(".php"), SLICE_INIT(".cgi"),
                                              SLICE_INIT(".fcgi"), SLICE_INIT(".pl")};
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
        if (slice_ends(name, extensions[i]))
            return true;
    return false;
}

/* A script that this very route answers for would be sent, not run. */
static void check_script(struct config_reader *r, const struct route_conf *route, struct slice path)
{
    const struct facts facts = {.path = path, .method = SLICE("GET"), .is_internal = true};
    if (is_script(path) && route_find(route->site, &facts).route == route)
        config_warn(r->diag, route->action_at,
                    "'" SLICE_FMT "' would be sent as it is, not run\n"
                    "write a route for scripts before this one: route *.php { proxy POOL }",
                    SLICE_ARG(path));
}

void files_action_check(struct config_reader *r, const struct route_conf *route)
{
    if (!route->needs_root)
        return;
    const struct files_action *action = route->action_conf;
    const struct files_conf *conf = &action->conf;
    check_script(r, route, slice_first(conf->else_path, slice_find(conf->else_path, '?')));
    for (uint32_t i = 0; i < conf->index_count; i++)
        check_script(r, route, arena_printf(r->arena, "/" SLICE_FMT, SLICE_ARG(conf->index[i])));
}

static void explain(struct explaining *e)
{
    const struct files_action *action = e->route->action_conf;
    files_explain(e, &action->conf);
}

void *files_action_open(struct config_reader *r, const struct directive *d, void *target)
{
    struct files_action *action = arena_zalloc(r->arena, sizeof(*action));
    (void)d;
    action->route = target;
    action->route->action_conf = action;
    return &action->conf;
}

bool files_action_set(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    static const struct action files = {"files", finish, run, explain};
    struct files_action *action = container_of(target, struct files_action, conf);
    struct slice path, query;
    if (!files_conf_set(r, d, word, target))
        return false;
    if (action->conf.else_path.n && !uri_split_target(action->conf.else_path, &path, &query))
        return config_error(r->diag, word[1].at,
                            "'" SLICE_FMT "' is no path\n"
                            "write it as in a request, beginning with '/', with %%20 for a space",
                            SLICE_ARG(action->conf.else_path));
    return action_choose(r, action->route, &files, d->name.at);
}
