/* `sluice proxy`: turns its command line into a configuration text, so that there is one way to
 * configure and one set of checks.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_PROXY_H
#define CLI_CLI_PROXY_H

#include "base/arena.h"
#include "cli/cli_args.h"

extern const struct cli_option cli_proxy_options[];

struct slice cli_proxy_text(const struct cli_args *args, struct arena *a);

#endif
