/* The rules of a route at work on an exchange (rewrite/rules.h says what they are).
 *
 * Each of these costs a test of a pointer where there are none. A rule that fails, because its
 * regular expression takes too long or because what came out cannot stand in a message, ends the
 * request: nothing goes on half rewritten. SPDX-License-Identifier: MIT */
#ifndef CORE_REWRITING_H
#define CORE_REWRITING_H

#include "core/exchange.h"
#include "rewrite/rules.h"

/* What routes are found by. */
void rewriting_route_facts(const struct exchange *x, struct facts *f);
/* All that is known of x. groups: room for those of the route's expression; NULL: not wanted. */
void rewriting_fill_facts(struct exchange *x, struct facts *f, struct groups *groups);

/* Applies the rules for the target; f is what rewriting_fill_facts() has found, and follows. */
enum parse rewriting_target(struct exchange *x, const struct rewrite *rewrite, struct facts *f,
                            struct fault *fault);
/* Applies the rules for the request's fields, once they are what a backend would see. False: it has
 * failed, and that is answered. */
bool rewriting_request(struct exchange *x);
/* Turns what the backend says in x->resp about URLs back into what the client knows. */
void rewriting_map_back(struct exchange *x);
/* Applies the rules for x->resp, before its head goes out. */
bool rewriting_response(struct exchange *x);

/* Makes the route's parameters for CGI-like protocols, x->params. False: it has failed, and that is
 * answered. */
bool rewriting_params(struct exchange *x);
/* Expands a template of an action. False: it has failed, and that is answered. */
bool rewriting_expand(struct exchange *x, const struct template *t, struct slice *out);

/* What the client has asked for, before any rewriting: "/path?query". */
struct slice rewriting_asked(struct exchange *x);
/* To be called before what was asked for is changed. */
void rewriting_keep_asked(struct exchange *x);

#endif
