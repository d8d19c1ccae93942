/* SPDX-License-Identifier: MIT */
#include "cli/cli_args.h"

#include <ctype.h>
#include <string.h>

#include "config/suggest.h"

static const struct cli_option *find_option(const struct command *command, const char *name,
                                            size_t n)
{
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static const struct cli_option *find_letter(const struct command *command, char letter)
{
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (o->letter && o->letter == letter)
            return o;
    return NULL;
}

const struct command *cli_find_command(const struct command *commands, const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static bool refuse(const struct command *command, const char *what, const char *word,
                   const char *near)
{
    fprintf(stderr, "sluice %s: %s '%s'\n", command->name, what, word);
    if (near)
        fprintf(stderr, "    hint: did you mean '--%s'?\n", near);
    else
        fprintf(stderr, "    hint: sluice %s --help lists what there is\n", command->name);
    return false;
}

static bool unknown_option(const struct command *command, const char *word, size_t n)
{
    struct suggest near = suggest_for(slice_of(word + 2, n));
    for (const struct cli_option *o = command->options; o && o->name; o++)
        suggest_try(&near, o->name);
    return refuse(command, "unknown option", word, near.best);
}

/* Splits argv[*i] into an option and its value, which may be the next word. */
static bool take_option(struct cli_args *args, const struct command *command, int argc, char **argv,
                        int *i)
{
    const char *word = argv[*i], *value = NULL;
    const struct cli_option *option;
    if (word[1] == '-') {
        size_t n = strcspn(word + 2, "=");
        option = find_option(command, word + 2, n);
        if (!option)
            return unknown_option(command, word, n);
        value = word[2 + n] ? word + 3 + n : NULL;
    } else {
        option = find_letter(command, word[1]);
        if (!option)
            return refuse(command, "unknown option", word, NULL);
        value = word[2] ? word + 2 : NULL;
    }
    if (!option->value && value)
        return refuse(command, "no value belongs to", word, NULL);
    if (option->value && !value && *i + 1 < argc)
        value = argv[++*i];
    if (option->value && !value)
        return refuse(command, "a value is missing after", word, NULL);
    if (!option->repeats && cli_args_get(args, option->name))
        return refuse(command, "given twice:", word, NULL);
    args->values[args->value_count++] = (struct cli_value){option, value ? value : ""};
    return true;
}

static bool check_operands(const struct cli_args *args, const struct command *command)
{
    if (args->operand_count > command->operands_max)
        return refuse(command, "unexpected", args->operands[command->operands_max], NULL);
    if (args->operand_count >= command->operands_min || cli_args_get(args, "help"))
        return true;
    fprintf(stderr, "sluice %s: something is missing\n", command->name);
    cli_print_usage(stderr, command);
    return false;
}

bool cli_args_parse(struct cli_args *args, const struct command *command, int argc, char **argv)
{
    bool only_operands = false;
    *args = (struct cli_args){.command = command};
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (args->value_count == CLI_VALUES_MAX || args->operand_count == CLI_VALUES_MAX)
            return refuse(command, "too many words, from", word, NULL);
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (only_operands || word[0] != '-' || !word[1])
            args->operands[args->operand_count++] = word;
        else if (!take_option(args, command, argc, argv, &i))
            return false;
    }
    return check_operands(args, command);
}

const char *cli_args_get(const struct cli_args *args, const char *name)
{
    for (uint32_t i = args->value_count; i-- > 0;)
        if (strcmp(args->values[i].option->name, name) == 0)
            return args->values[i].text;
    return NULL;
}

/* ---- help ---- */

void cli_print_usage(FILE *out, const struct command *command)
{
    fprintf(out, "usage: sluice %s [OPTION...]%s%s\n", command->name, *command->operands ? " " : "",
            command->operands);
}

static void print_option(FILE *out, const struct cli_option *o)
{
    char left[64];
    snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
             o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    fprintf(out, "  %-32s%s%s\n", left, o->help, o->repeats ? " (may be repeated)" : "");
}

void cli_print_help(FILE *out, const struct command *command)
{
    cli_print_usage(out, command);
    fprintf(out, "\n%s.\n\n", command->summary);
    for (const struct cli_option *o = command->options; o && o->name; o++)
        print_option(out, o);
    if (command->details)
        fprintf(out, "\n%s\n", command->details);
}

void cli_print_summary(FILE *out, const struct command *commands)
{
    for (const struct command *c = commands; c->name; c++)
        fprintf(out, "  %-10s%s\n", c->name, c->summary);
}

static void put_man(FILE *out, const char *text)
{
    for (bool at_start = true; *text; text++) {
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else if ((*text == '.' || *text == '\'') && at_start)
            fprintf(out, "\\&%c", *text);
        else
            fputc(*text, out);
        at_start = *text == '\n';
    }
}

void cli_print_man(FILE *out, const struct command *commands)
{
    for (const struct command *c = commands; c->name; c++) {
        fprintf(out, ".SS \"sluice %s%s", c->name, *c->operands ? " " : "");
        put_man(out, c->operands);
        fputs("\"\n", out);
        put_man(out, c->summary);
        fputs(".\n", out);
        for (const struct cli_option *o = c->options; o && o->name; o++) {
            fputs(".TP\n\\fB", out);
            if (o->letter)
                fprintf(out, "\\-%c\\fR, \\fB", o->letter);
            fputs("\\-\\-", out);
            put_man(out, o->name);
            fprintf(out, "\\fR%s%s%s\n", o->value ? " \\fI" : "", o->value ? o->value : "",
                    o->value ? "\\fR" : "");
            fputc(toupper((unsigned char)*o->help), out);
            put_man(out, o->help + 1);
            fputs(o->repeats ? " (may be repeated).\n" : ".\n", out);
        }
        if (c->details) {
            fputs(".PP\n.nf\n", out);
            put_man(out, c->details);
            fputs("\n.fi\n", out);
        }
    }
}

void cli_print_words(FILE *out, const struct command *commands, const char *name)
{
    const struct command *command = cli_find_command(commands, name);
    for (const struct command *c = commands; !command && c->name; c++)
        fprintf(out, "%s\n", c->name);
    for (const struct cli_option *o = command ? command->options : NULL; o && o->name; o++)
        fprintf(out, "--%s\n", o->name);
}
