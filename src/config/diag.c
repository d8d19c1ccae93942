/* SPDX-License-Identifier: MIT */
#include "config/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_MAX = 1024, SOURCE_MAX = 300 };

void config_diag_init(struct config_diag *d)
{
    *d = (struct config_diag){0};
    buf_pool_init(&d->memory, 0);
    arena_init(&d->arena, &d->memory);
}

void config_diag_fini(struct config_diag *d)
{
    arena_fini(&d->arena);
    buf_pool_fini(&d->memory);
}

static struct slice line_of(struct config_place at)
{
    struct slice rest = at.file->text;
    for (uint32_t line = 1; line < at.line && rest.n; line++) {
        size_t end = slice_find(rest, '\n');
        rest = slice_skip(rest, end < rest.n ? end + 1 : end);
    }
    rest = slice_first(rest, slice_find(rest, '\n'));
    if (rest.n && rest.p[rest.n - 1] == '\r')
        rest.n--;
    return slice_first(rest, SOURCE_MAX);
}

static void keep(struct config_diag *d, enum diag_level level, struct config_place at,
                 struct slice message)
{
    size_t cut = slice_find(message, '\n');
    struct diag *item = arena_zalloc(&d->arena, sizeof(*item));
    *item = (struct diag){.level = level,
                          .line = at.line,
                          .column = at.column,
                          .what = arena_dup(&d->arena, slice_first(message, cut))};
    if (cut < message.n)
        item->hint = arena_dup(&d->arena, slice_skip(message, cut + 1));
    if (at.file) {
        item->path = arena_dup(&d->arena, at.file->path);
        if (at.line)
            item->source = arena_dup(&d->arena, line_of(at));
    }
    if (d->last)
        d->last->next = item;
    else
        d->first = item;
    d->last = item;
}

/* What a file holds must not steer the terminal that shows the report. */
static void make_printable(char *p, int n)
{
    for (int i = 0; i < n; i++)
        if ((unsigned char)p[i] < ' ' && p[i] != '\n')
            p[i] = '?';
}

static void report(struct config_diag *d, enum diag_level level, struct config_place at,
                   const char *format, va_list args)
{
    char message[MESSAGE_MAX];
    int n = vsnprintf(message, sizeof(message), format, args);
    n = n < 0 ? 0 : n >= MESSAGE_MAX ? MESSAGE_MAX - 1 : n;
    make_printable(message, n);
    keep(d, level, at, slice_of(message, (size_t)n));
}

bool config_error(struct config_diag *d, struct config_place at, const char *format, ...)
{
    if (d->errors++ >= DIAG_ERRORS_MAX)
        return false;
    va_list args;
    va_start(args, format);
    report(d, DIAG_ERROR, at, format, args);
    va_end(args);
    return false;
}

void config_warn(struct config_diag *d, struct config_place at, const char *format, ...)
{
    if (d->warnings++ >= DIAG_WARNINGS_MAX)
        return;
    va_list args;
    va_start(args, format);
    report(d, DIAG_WARNING, at, format, args);
    va_end(args);
}

bool config_diag_is_full(const struct config_diag *d)
{
    return d->errors >= DIAG_ERRORS_MAX;
}

static void print_caret(FILE *out, const struct diag *item)
{
    if (!item->source.n && item->column != 1)
        return;
    fprintf(out, "    " SLICE_FMT "\n    ", SLICE_ARG(item->source));
    for (uint32_t i = 1; i < item->column; i++)
        if (i <= item->source.n && item->source.p[i - 1] == '\t')
            fputc('\t', out);
        else if (i > item->source.n || ((unsigned char)item->source.p[i - 1] & 0xc0) != 0x80)
            fputc(' ', out); /* a UTF-8 sequence takes one column on the screen */
    fputs("^\n", out);
}

static void print_item(FILE *out, const struct diag *item)
{
    if (item->path.n)
        fprintf(out, SLICE_FMT ":", SLICE_ARG(item->path));
    if (item->line)
        fprintf(out, "%u:%u:", item->line, item->column);
    fprintf(out, "%s%s: " SLICE_FMT "\n", item->path.n ? " " : "",
            item->level == DIAG_ERROR ? "error" : "warning", SLICE_ARG(item->what));
    if (item->line)
        print_caret(out, item);
    if (item->hint.n)
        fprintf(out, "    hint: " SLICE_FMT "\n", SLICE_ARG(item->hint));
}

struct slice config_diag_print(const struct config_diag *d, struct arena *a)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return SLICE_NONE;
    for (const struct diag *item = d->first; item; item = item->next)
        print_item(out, item);
    if (d->errors > DIAG_ERRORS_MAX)
        fprintf(out, "%u more errors are not shown\n", d->errors - DIAG_ERRORS_MAX);
    fclose(out);
    struct slice copy = arena_dup(a, slice_of(text, n));
    free(text);
    return copy;
}
