/* The admin side of a running gateway: a server on the main loop (`gateway { admin ... }`) with
 * what there is to be seen and done, and the commands that talk to it. SPDX-License-Identifier: MIT
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "cli/cli_args.h"
#include "house/gateway.h"

/* For cli_main(). */
extern const struct gateway_service admin_service;
extern const struct command admin_commands[];

#endif
