/* SPDX-License-Identifier: MIT */
#include "cli/keydoc.h"

#include <ctype.h>
#include <string.h>

enum { SYNTAX_MAX = 160, COLUMN = 44 };

static void join_names(char *p, size_t n, const struct key_name *names)
{
    *p = '\0';
    for (const struct key_name *name = names; name->name; name++) {
        size_t used = strlen(p);
        snprintf(p + used, n - used, "%s%s", used ? " | " : "", name->name);
    }
}

/* What stands behind the key: "TIME", "N | auto", "on | off". */
static const char *syntax_of(const struct key *k, char p[SYNTAX_MAX])
{
    static const char *const plain[] = {
        [KEY_NONE] = "",   [KEY_BOOL] = "on | off", [KEY_UINT] = "N", [KEY_SIZE] = "SIZE",
        [KEY_MS] = "TIME", [KEY_STRING] = "TEXT",   [KEY_ENUM] = "",  [KEY_CUSTOM] = "TEXT",
    };
    if (k->type == KEY_ENUM)
        join_names(p, SYNTAX_MAX, k->names);
    else
        snprintf(p, SYNTAX_MAX, "%s%s%s", k->syntax ? k->syntax : plain[k->type],
                 k->zero ? " | " : "", k->zero ? k->zero : "");
    return p;
}

/* The default as people write it: the word for 0 rather than 0. */
static const char *default_of(const struct key *k)
{
    if (k->flags & KEY_REQUIRED)
        return "required";
    if (k->init && k->zero && strcmp(k->init, "0") == 0)
        return k->zero;
    return k->init ? k->init : "";
}

static const char *range_of(const struct key *k, char p[SYNTAX_MAX])
{
    *p = '\0';
    if (k->type != KEY_CUSTOM && k->min && k->max)
        snprintf(p, SYNTAX_MAX, "%s to %s", k->min, k->max);
    else if (k->type != KEY_CUSTOM && k->max)
        snprintf(p, SYNTAX_MAX, "at most %s", k->max);
    return p;
}

/* Those that are said of it. */
static const struct key *options_of(const struct key *k)
{
    return k->flags & KEY_TERSE ? NULL : k->options;
}

/* ---- terminal ---- */

static void text_row(FILE *out, const struct key *k, int depth, bool is_option)
{
    char syntax[SYNTAX_MAX], range[SYNTAX_MAX], left[SYNTAX_MAX * 2];
    const char *otherwise = default_of(k);
    int n = snprintf(left, sizeof(left), "%*s%s%s%s%s", depth * 4, "", k->name,
                     is_option             ? "="
                     : k->type == KEY_NONE ? ""
                                           : "  ",
                     syntax_of(k, syntax), k->block ? " {" : "");
    fprintf(out, "%s%*s  %s", left, n < COLUMN ? COLUMN - n : 0, "", k->help);
    range_of(k, range);
    if (*otherwise || *range)
        fprintf(out, " (%s%s%s)", otherwise, *otherwise && *range ? "; " : "", range);
    fputc('\n', out);
}

static void text_table(FILE *out, const struct key *keys, int depth)
{
    for (const struct key *k = keys; k && k->name; k++) {
        text_row(out, k, depth, false);
        for (const struct key *o = options_of(k); o && o->name; o++)
            text_row(out, o, depth + 1, true);
        text_table(out, k->block, depth + 1);
        if (k->block)
            fprintf(out, "%*s}\n", depth * 4, "");
    }
}

void keydoc_text(FILE *out, const struct key *keys)
{
    text_table(out, keys, 0);
}

/* ---- markdown ---- */

static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static void put_code_cell(FILE *out, const char *text)
{
    fputs(" | ", out);
    if (!*text)
        return;
    fputc('`', out);
    put_cell(out, text);
    fputc('`', out);
}

static void markdown_row(FILE *out, const struct key *parent, const struct key *k)
{
    char syntax[SYNTAX_MAX], range[SYNTAX_MAX];
    fprintf(out, "| `%s%s%s%s`", parent ? parent->name : "", parent ? " … " : "", k->name,
            parent ? "=" : "");
    put_code_cell(out, syntax_of(k, syntax));
    if (k->flags & KEY_REQUIRED)
        fputs(" | required", out);
    else
        put_code_cell(out, default_of(k));
    fputs(" | ", out);
    put_cell(out, k->help);
    if (*range_of(k, range))
        fprintf(out, " (%s)", range);
    fputs(k->flags & KEY_REPEAT ? "; may be repeated |\n" : " |\n", out);
}

static void markdown_rows(FILE *out, const struct key *keys)
{
    for (const struct key *k = keys; k && k->name; k++) {
        if (!k->block)
            markdown_row(out, NULL, k);
        for (const struct key *o = options_of(k); !k->block && o && o->name; o++)
            markdown_row(out, k, o);
    }
}

static void markdown_head(FILE *out)
{
    fputs("\n| key | value | default | meaning |\n|---|---|---|---|\n", out);
}

static void markdown_block(FILE *out, const struct key *k, int depth)
{
    char syntax[SYNTAX_MAX];
    fprintf(out, "\n%.*s `%s%s%s%s`\n\n", depth, "######", k->name,
            *syntax_of(k, syntax) ? " " : "", syntax, k->block ? " { }" : "");
    fprintf(out, "%c%s%s.\n", toupper((unsigned char)*k->help), k->help + 1,
            k->flags & KEY_REPEAT ? "; may be repeated" : "");
    if (k->options) {
        markdown_head(out);
        for (const struct key *o = k->options; o->name; o++)
            markdown_row(out, k, o);
    }
    if (k->block) {
        markdown_head(out);
        markdown_rows(out, k->block);
    }
    for (const struct key *inner = k->block; inner && inner->name; inner++)
        if (inner->block)
            markdown_block(out, inner, depth + 1);
}

void keydoc_markdown(FILE *out, const struct key *keys)
{
    for (const struct key *k = keys; k->name; k++)
        markdown_block(out, k, 3);
}

/* ---- man ---- */

static void put_man(FILE *out, const char *text)
{
    for (; *text; text++)
        fprintf(out, *text == '-' ? "\\-" : *text == '\\' ? "\\e" : "%c", *text);
}

static void man_row(FILE *out, const struct key *parent, const struct key *k)
{
    char syntax[SYNTAX_MAX], range[SYNTAX_MAX];
    const char *otherwise = default_of(k);
    fputs(".TP\n\\fB", out);
    put_man(out, parent ? parent->name : "");
    fputs(parent ? " " : "", out);
    put_man(out, k->name);
    fputs(parent ? "=\\fR\\fI" : "\\fR \\fI", out);
    put_man(out, syntax_of(k, syntax));
    fprintf(out, "\\fR\n%c", toupper((unsigned char)*k->help));
    put_man(out, k->help + 1);
    range_of(k, range);
    if (*otherwise || *range) {
        fputs(" (", out);
        put_man(out, otherwise);
        fprintf(out, "%s%s)", *otherwise && *range ? "; " : "", range);
    }
    fputs(".\n", out);
}

static void man_rows(FILE *out, const struct key *keys)
{
    for (const struct key *k = keys; k && k->name; k++) {
        man_row(out, NULL, k);
        for (const struct key *o = options_of(k); o && o->name; o++)
            man_row(out, k, o);
        if (!k->block)
            continue;
        fputs(".RS\n", out);
        man_rows(out, k->block);
        fputs(".RE\n", out);
    }
}

void keydoc_man(FILE *out, const struct key *keys)
{
    man_rows(out, keys);
}
