/* What a route does with a request: pass it to a pool, run a program, redirect, answer.
 *
 * Each action is one row of a table of its own here, and one key of a route that chooses it. The
 * core knows none of them: it finds the route, asks who may use it (admit.h), and runs its action.
 * A route has exactly one. SPDX-License-Identifier: MIT */
#ifndef CORE_ACTION_H
#define CORE_ACTION_H

#include <stdio.h>

#include "config/schema.h"
#include "core/exchange.h"

struct facts;
struct route_conf;
struct snapshot;

/* A request that is explained. */
struct explaining {
    FILE *out;
    struct arena *arena;
    const struct snapshot *snapshot;
    const struct route_conf *route;
    const struct facts *facts; /* what the action gets: rewritten */
    /* For the action to say: the target, path and query, that it would go on with inside the
     * gateway, or that it would leave the request to the next route. */
    struct slice next;
    bool passes_over;
};

struct action {
    const char *name; /* the key that chooses it: "proxy" */
    /* Loading, once every directive is read: what the route names is looked up. NULL: nothing is.
     * False: an error has been reported. */
    bool (*finish)(struct config_reader *r, struct snapshot *s, struct route_conf *route);
    /* Serves x, in state EX_ACT: answers (answer.h), begins again elsewhere (reroute.h), or enters
     * another state. PARK: calls exchange_run() later, which comes back here. */
    enum next (*run)(struct exchange *x);
    /* Says what it would do, behind the word "action" on a line of its own, which it ends. NULL:
     * its name says it. */
    void (*explain)(struct explaining *e);
};

/* For the setters of the keys: the route has this action from now on. False: it has another one,
 * which is reported. */
bool action_choose(struct config_reader *r, struct route_conf *route, const struct action *action,
                   struct config_place at);
/* Reports a route that has none, else finishes it. */
bool action_finish(struct config_reader *r, struct snapshot *s, struct route_conf *route);

/* The keys, for the route's table. Targets are a struct route_conf, or what open makes in one. */
key_set_fn pool_action_set_proxy, pool_action_set_cgi, reroute_action_set;
key_open_fn answer_action_open_redirect, answer_action_open_respond;
key_set_fn answer_action_set_redirect, answer_action_set_respond;
key_close_fn answer_action_close_respond;
extern const struct key answer_action_respond_options[];
key_open_fn files_action_open;
key_set_fn files_action_set; /* block: files_keys */
/* Once all routes of its site are finished: warns where scripts would be sent as files. */
void files_action_check(struct config_reader *r, const struct route_conf *route);

#endif
