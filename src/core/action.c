/* SPDX-License-Identifier: MIT */
#include "core/action.h"

#include "core/route.h"

bool action_choose(struct config_reader *r, struct route_conf *route, const struct action *action,
                   struct config_place at)
{
    if (route->action)
        return config_error(r->diag, at,
                            "a route does one thing: this one has '%s' already\n"
                            "it stands at line %u; write another route",
                            route->action->name, route->action_at.line);
    route->action = action;
    route->action_at = at;
    return true;
}

bool action_finish(struct config_reader *r, struct snapshot *s, struct route_conf *route)
{
    if (!route->action)
        return config_error(
            r->diag, route->at,
            "this route does nothing\n"
            "write what it does: proxy POOL, cgi DIR, reroute, redirect or respond");
    return !route->action->finish || route->action->finish(r, s, route);
}
