/* A request begins again with another target, inside the gateway: what X-Accel-Redirect, the local
 * redirect of CGI (RFC 3875 6.2.2), `files else` and pages for errors are made of.
 *
 * The client learns nothing of it. Routes marked `internal` are reached in no other way. How often
 * it may happen is bounded (limit reroutes), so no loop of answers holds a request for ever.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_REROUTE_H
#define CORE_REROUTE_H

#include "core/exchange.h"

struct reroute {
    struct slice target; /* path and query as in a request line: "/a%20b?c"; the exchange's arena */
    struct slice host;   /* another authority; empty: the same */
    struct slice backend; /* the one of the pool that is to be asked; empty: any */
    bool as_get;     /* GET (or HEAD, as it was), and the request's body is dropped; else method
                      * and body stay, if none of the body has gone or it can be sent again */
    const char *why; /* for the trace and the log: "X-Accel-Redirect" */
};

/* In EX_ADMIT, EX_ACT, or EX_RELAY while no response head has gone out. Gives up the attempt there
 * may be and enters EX_ROUTE. False: it is refused, and that is answered. Either way the caller
 * lets exchange_run() go on. */
bool exchange_reroute(struct exchange *x, const struct reroute *to);

#endif
