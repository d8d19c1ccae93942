/* SPDX-License-Identifier: MIT */
#include "core/files_explain.h"

#include <string.h>

#include "core/route.h"
#include "core/snapshot.h"
#include "http/percent.h"
#include "static/lookup.h"

static void tell(void *ctx, struct slice name, int error)
{
    const struct explaining *e = ctx;
    fprintf(e->out, "%-10s  " SLICE_FMT ": %s\n", "", SLICE_ARG(name.n ? name : SLICE(".")),
            error ? strerror(-error) : "there");
}

static struct slice with_query(const struct explaining *e, struct slice path)
{
    const struct slice query = e->facts->query;
    if (!query.n || slice_find(path, '?') < path.n)
        return path;
    return arena_printf(e->arena, SLICE_FMT "?" SLICE_FMT, SLICE_ARG(path), SLICE_ARG(query));
}

/* An index may be a script, which another route takes. */
static bool is_for_another(const struct explaining *e, const struct lookup *l)
{
    struct facts f = *e->facts;
    f.path = l->path;
    f.is_internal = true;
    struct route_match match = route_find(e->route->site, &f);
    return l->is_index && match.route && match.route != e->route;
}

static void explain_file(struct explaining *e, const struct lookup *l)
{
    if (is_for_another(e, l))
        e->next = with_query(e, percent_encode(l->path, PERCENT_PATH, e->arena));
    else
        fprintf(e->out, "%-10s  sends " SLICE_FMT "  type=" SLICE_FMT "\n", "", SLICE_ARG(l->name),
                SLICE_ARG(types_find(&l->conf->types, l->path)));
}

static void explain_nothing(struct explaining *e, const struct lookup *l)
{
    const struct files_conf *conf = l->conf;
    if (l->status == 404 && conf->else_next)
        e->passes_over = true;
    else if (l->status == 404 && conf->else_path.n)
        e->next = with_query(e, conf->else_path);
    fprintf(e->out, "%-10s  %s", "", l->why);
    if (!e->passes_over && !e->next.n)
        fprintf(e->out, ": answered with %u", l->status == 404 ? conf->else_status : l->status);
    fputc('\n', e->out);
}

static void explain_lookup(struct explaining *e, struct lookup *l)
{
    switch (lookup_path(l, e->facts->path)) {
    case FOUND_FILE: explain_file(e, l); break;
    case FOUND_DIRECTORY:
        fprintf(e->out, "%-10s  redirects to the path with a '/' behind it\n", "");
        break;
    case FOUND_LIST: fprintf(e->out, "%-10s  lists the directory\n", ""); break;
    case FOUND_NOTHING: explain_nothing(e, l); break;
    }
    if (l->file)
        file_unref(l->file);
}

void files_explain(struct explaining *e, const struct files_conf *conf)
{
    static const struct file_cache_conf keeps_none;
    struct loop loop;
    struct file_cache cache;
    fprintf(e->out, "files of " SLICE_FMT "\n", SLICE_ARG(conf->root));
    int error = loop_init(&loop);
    if (error) {
        fprintf(e->out, "%-10s  they cannot be looked at here: %s\n", "", strerror(-error));
        return;
    }
    file_cache_init(&cache, &loop);
    struct lookup l = {
        .conf = conf,
        .cache = &cache,
        .cache_conf = &keeps_none,
        .arena = e->arena,
        .tell = tell,
        .ctx = e,
    };
    explain_lookup(e, &l);
    file_cache_fini(&cache);
    loop_fini(&loop);
}
