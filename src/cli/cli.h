/* The commands: what `sluice ...` does before, or instead of, serving.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/cli_args.h"
#include "house/gateway.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What main adds to the core's own: commands, and a service that runs where the gateway does. */
struct cli_parts {
    const struct command *commands;
    const struct gateway_service *service;
};

/* Answers the process's exit status: 0, 1 (it failed), 2 (the command line makes no sense). */
int cli_main(int argc, char **argv, const struct cli_parts *parts);

/* For commands that go by the configuration: the file, from --config or where it usually is; NULL
 * and a message if there is none. And what is in it; NULL and messages if that is wrong. */
const char *cli_config_path(const struct cli_args *args);
struct snapshot *cli_load(const char *path);

#endif
