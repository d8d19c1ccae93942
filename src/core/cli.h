/* The commands: what `sluice ...` does before, or instead of, serving.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLI_H
#define CORE_CLI_H

/* Answers the process's exit status: 0, 1 (it failed), 2 (the command line makes no sense). */
int cli_main(int argc, char **argv);

#endif
