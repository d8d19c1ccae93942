/* The action that sends a request on to the route of another path: `reroute TARGET`.
 * SPDX-License-Identifier: MIT */
#include "core/action.h"
#include "core/reroute.h"
#include "core/rewriting.h"
#include "core/route.h"
#include "core/snapshot.h"

struct reroute_conf {
    struct template target;
    struct slice text; /* as it was written */
};

static enum next run(struct exchange *x)
{
    const struct reroute_conf *conf = x->route->action_conf;
    struct reroute to = {.why = "reroute"};
    if (rewriting_expand(x, &conf->target, &to.target))
        exchange_reroute(x, &to);
    return NEXT;
}

static void explain(struct explaining *e)
{
    const struct reroute_conf *conf = e->route->action_conf;
    fprintf(e->out, "reroute to " SLICE_FMT "\n", SLICE_ARG(conf->text));
    if (template_expand(&conf->target, e->facts, e->facts->groups, e->snapshot->gateway.head_bytes,
                        e->arena, &e->next) != TEMPLATE_OK)
        e->next = SLICE_NONE;
}

bool reroute_action_set(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    static const struct action reroute = {"reroute", NULL, run, explain};
    struct route_conf *route = target;
    struct reroute_conf *conf = arena_alloc(r->arena, sizeof(*conf));
    conf->text = word->text;
    route->action_conf = conf;
    if (!template_read(r, word, TEMPLATE_PATH, route_group_count(route), &conf->target))
        return false;
    if (!template_begins(&conf->target, '/'))
        return config_error(r->diag, word->at, "'reroute' takes a path, which begins with '/'");
    return action_choose(r, route, &reroute, d->name.at);
}
