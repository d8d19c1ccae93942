/* What rules do with a request, for `sluice explain`: each with what was before and what comes
 * behind. SPDX-License-Identifier: MIT */
#ifndef CLI_EXPLAIN_RULES_H
#define CLI_EXPLAIN_RULES_H

#include <stdio.h>

#include "rewrite/rules.h"

struct gateway_conf;

/* Applies the rules for the target to t and f as they would be, and says so. False: one of them
 * fails, which is said too. */
bool explain_target(FILE *out, const struct rewrite *rewrite, struct facts *f, struct target *t,
                    const struct gateway_conf *conf, struct arena *a);
/* The same for the request's fields, of which f->fields is a copy that may be changed. */
bool explain_fields(FILE *out, const struct rewrite *rewrite, struct facts *f, struct fields *fs,
                    const struct gateway_conf *conf, struct arena *a);
/* What would be done to a response. */
void explain_response(FILE *out, const struct rewrite *rewrite, const struct target *t);

#endif
