/* SPDX-License-Identifier: MIT */
#include "config/diag.h"

#include <stdarg.h>
#include <stdio.h>

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

/* What a file holds must not steer the terminal that shows the report. */
static void make_printable(char *p, size_t n, char allowed)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)p[i] < ' ' && p[i] != allowed) || p[i] == 0x7f)
            p[i] = '?';
}

static struct slice copy_line(struct arena *a, struct slice line)
{
    struct slice copy = arena_dup(a, line);
    make_printable((char *)copy.p, copy.n, '\t');
    return copy;
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
            item->source = copy_line(&d->arena, line_of(at));
    }
    if (d->last)
        d->last->next = item;
    else
        d->first = item;
    d->last = item;
}

static void report(struct config_diag *d, enum diag_level level, struct config_place at,
                   const char *format, va_list args)
{
    char message[MESSAGE_MAX];
    int n = vsnprintf(message, sizeof(message), format, args);
    n = n < 0 ? 0 : n >= MESSAGE_MAX ? MESSAGE_MAX - 1 : n;
    make_printable(message, (size_t)n, '\n');
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

/* Blanks up to the column, tabs where the line has them, one for each UTF-8 sequence. */
static struct slice indent_of(struct arena *a, const struct diag *item)
{
    char *pad = arena_alloc(a, item->column);
    const char blank = ' ';
    size_t n = 0;
    for (uint32_t i = 0; i + 1 < item->column; i++) {
        char c = i < item->source.n ? item->source.p[i] : blank;
        if (((unsigned char)c & 0xc0) != 0x80)
            pad[n++] = c == '\t' ? c : blank;
    }
    return slice_of(pad, n);
}

static struct slice print_place(struct arena *a, const struct diag *item)
{
    if (!item->path.n)
        return SLICE_NONE;
    if (!item->line)
        return arena_printf(a, SLICE_FMT ": ", SLICE_ARG(item->path));
    return arena_printf(a, SLICE_FMT ":%u:%u: ", SLICE_ARG(item->path), item->line, item->column);
}

static struct slice print_source(struct arena *a, const struct diag *item)
{
    if (!item->line || item->column > item->source.n + 1)
        return SLICE_NONE;
    struct slice indent = indent_of(a, item);
    return arena_printf(a, "    " SLICE_FMT "\n    " SLICE_FMT "^\n", SLICE_ARG(item->source),
                        SLICE_ARG(indent));
}

struct slice config_diag_print(const struct config_diag *d, struct arena *a)
{
    struct slice all = SLICE("");
    for (const struct diag *item = d->first; item; item = item->next) {
        struct slice place = print_place(a, item), source = print_source(a, item);
        all = arena_printf(
            a, SLICE_FMT SLICE_FMT "%s: " SLICE_FMT "\n" SLICE_FMT "%s" SLICE_FMT "%s",
            SLICE_ARG(all), SLICE_ARG(place), item->level == DIAG_ERROR ? "error" : "warning",
            SLICE_ARG(item->what), SLICE_ARG(source), item->hint.n ? "    hint: " : "",
            SLICE_ARG(item->hint), item->hint.n ? "\n" : "");
    }
    if (config_diag_is_full(d))
        all = arena_printf(a, SLICE_FMT "too many errors: there may be more\n", SLICE_ARG(all));
    return all;
}
