/* `sluice explain`: how the configuration in force would treat a request, and why.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include <stdio.h>

#include "cli/cli_args.h"
#include "core/snapshot.h"

/* operands: METHOD URL; options: header, client. Answers the exit status: 0 a pool would serve it,
 * 1 it would be refused, 2 the request makes no sense. */
int explain_request(const struct snapshot *s, const struct cli_args *args, FILE *out);

#endif
