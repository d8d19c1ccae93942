/* What changes in a message because we stand between its ends (RFC 9110 7.6): hop-by-hop fields go,
 * Via, Forwarded and X-Forwarded-* come.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_FORWARD_H
#define CORE_FORWARD_H

#include "base/arena.h"
#include "http/head.h"

struct exchange;

/* Counts this hop of an OPTIONS or TRACE that is to make so many and no more (RFC 9110 7.6.2).
 * False: it ends here, and that is answered. */
bool forward_counts_hop(struct exchange *x);
/* Makes x->req the head that goes to a backend. Sets x->upgrade. Once for each route it
 * takes: an internal redirect takes back what was done (reroute.h). */
void forward_request(struct exchange *x);
/* The same for a response that goes to the client; interim ones too. */
void forward_response(struct exchange *x, struct response_head *head);

#endif
