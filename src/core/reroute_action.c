/* The action that sends a request on to the route of another path: `reroute TARGET`.
 * SPDX-License-Identifier: MIT */
#include "core/action.h"
#include "core/reroute.h"
#include "core/route.h"
#include "http/uri.h"

static enum next run(struct exchange *x)
{
    const struct slice *target = x->route->action_conf;
    const struct reroute to = {.target = *target, .why = "reroute"};
    exchange_reroute(x, &to);
    return NEXT;
}

static void explain(const struct route_conf *route, FILE *out)
{
    const struct slice *target = route->action_conf;
    fprintf(out, "reroute to " SLICE_FMT "\n", SLICE_ARG(*target));
}

bool reroute_action_set(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    static const struct action reroute = {"reroute", NULL, run, explain};
    struct route_conf *route = target;
    struct slice path, query;
    if (!uri_split_target(word->text, &path, &query))
        return config_error(r->diag, word->at,
                            "'" SLICE_FMT "' is no path\n"
                            "write it as in a request, beginning with '/', with %%20 for a space",
                            SLICE_ARG(word->text));
    struct slice *kept = arena_alloc(r->arena, sizeof(*kept));
    *kept = word->text;
    route->action_conf = kept;
    return action_choose(r, route, &reroute, d->name.at);
}
