/* The pump of an exchange: moves bytes both ways as far as they go, and sets the deadlines for what
 * is waited for. Back-pressure is a fact of the chains: who finds no room does not read.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_RELAY_H
#define CORE_RELAY_H

#include "core/exchange.h"

/* Path and query, also of a request that came in absolute-form (RFC 9112 3.2.1). */
struct slice relay_target(struct exchange *x);
/* Writes the request's head into the connection just made or reused. */
void relay_begin(struct exchange *x);
/* The request as it goes to b: *info is where request->cgi points, for codecs that want it; NULL:
 * nowhere. */
struct backend;
void relay_fill_request(struct exchange *x, const struct backend *b, struct codec_request *request,
                        struct cgi_info *info);
/* Moves what can be moved. NEXT: the state has changed. */
enum next relay_run(struct exchange *x);
/* A deadline on the backend's side has passed. */
void relay_on_due(struct exchange *x);

#endif
