/* A request that the gateway makes by itself while it serves another: an exchange like any other,
 * with the same pools, retries, limits and deadlines, but in front of it stands nobody. Its
 * response is collected, up to a bound, for the exchange that has asked for it.
 *
 * It is not counted among clients' requests and has no line in the access log; in the error log it
 * has the id of the exchange that asks. It asks nobody for admission, and its answer cannot hand
 * over to a file or another route.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SUBREQUEST_H
#define CORE_SUBREQUEST_H

#include "core/exchange.h"

struct subrequest {
    struct exchange *parent;   /* NULL: it has left */
    struct exchange *exchange; /* NULL: over, and what follows counts */
    bool failed;               /* there is no whole response, or it was too large */
    uint16_t status;
    struct fields fields; /* in the parent's arena; without hop-by-hop fields */
    struct chain body;
};

/* Begins one in the parent's arena: an exchange whose request has the parent's client, method,
 * target, authority and fields, those about a body left out. The caller changes what it likes in
 * s->exchange->req, which is in an arena of its own, and starts it. Its route says what is done. */
struct subrequest *subrequest_new(struct exchange *parent, const struct route_conf *route);
/* When it is over, exchange_run(parent) will be called; not before this returns. */
void subrequest_start(struct subrequest *s);
/* Not wanted any more, over or not. */
void subrequest_drop(struct subrequest *s);

#endif
