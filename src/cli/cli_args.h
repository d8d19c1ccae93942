/* Command lines by tables: the same rows feed the parser, --help, the manual and the shells'
 * completion.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CLI_ARGS_H
#define CLI_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CLI_VALUES_MAX = 256 };

struct cli_option {
    const char *name;  /* without the dashes; NULL ends a table */
    const char *value; /* what its value is called; NULL: it takes none */
    const char *help;
    char letter; /* 0: none */
    bool repeats;
};

struct cli_args;
struct gateway_service;
typedef int command_fn(const struct cli_args *args); /* the exit status */

struct command {
    const char *name;     /* NULL ends a table */
    const char *operands; /* behind the options, for the usage line */
    uint32_t operands_min, operands_max;
    const struct cli_option *options;
    command_fn *run;
    const char *summary;
    const char *details; /* paragraphs; may be NULL */
};

struct cli_value {
    const struct cli_option *option;
    const char *text; /* "" for options without a value */
};

struct cli_args {
    const struct command *command;
    const struct gateway_service *service; /* for commands that serve */
    char *const *argv;                     /* of the program */
    struct cli_value values[CLI_VALUES_MAX];
    const char *operands[CLI_VALUES_MAX];
    uint32_t value_count, operand_count;
};

/* Reads what follows the command's name. False: why is on stderr already. */
bool cli_args_parse(struct cli_args *args, const struct command *command, int argc, char **argv)
    __attribute__((warn_unused_result));
/* The value of the last option of this name, or NULL. */
const char *cli_args_get(const struct cli_args *args, const char *name);

const struct command *cli_find_command(const struct command *commands, const char *name);

void cli_print_usage(FILE *out, const struct command *command);
void cli_print_help(FILE *out, const struct command *command);
void cli_print_summary(FILE *out, const struct command *commands);
/* The commands' part of sluice(1), as man macros. */
void cli_print_man(FILE *out, const struct command *commands);
/* Words that may follow, one on a line: commands, or a command's options. */
void cli_print_words(FILE *out, const struct command *commands, const char *name);

#endif
