/* What a backend's answer may ask for instead of being passed on: that a file be sent, that another
 * route answer, that the request begin again elsewhere (handoff.def).
 *
 * Each is off until the pool allows it. The fields themselves never reach a client. The backend is
 * freed first: what little of its answer still comes is read away, within bounds, and its
 * connection is kept; only then is sent what was asked for. SPDX-License-Identifier: MIT */
#ifndef CORE_HANDOFF_H
#define CORE_HANDOFF_H

#include "core/exchange.h"

enum { HANDOFF_REST_MS = 100 }; /* for the rest of an answer that is not passed on */

/* The final head, x->resp, has come from a backend, and nothing of it is passed on yet. True: it
 * will not be; x->handoff is set until handoff_run(). */
bool handoff_take(struct exchange *x);
/* Takes the same fields off what goes on by itself, and asks for nothing: interim responses and
 * trailers. */
void handoff_hide(struct fields *fields);
/* n more bytes of a body that nobody will see. False: enough has come. */
bool handoff_skip(struct exchange *x, size_t n);
/* Does what was asked for; the attempt is over. The caller lets exchange_run() go on. */
void handoff_run(struct exchange *x);

/* What an application has said that handed this request over to another route: the fields that
 * count for the file sent in its place, and those for any answer. */
const struct fields *handoff_kept(const struct exchange *x);
void handoff_add_cookies(struct exchange *x);

#endif
