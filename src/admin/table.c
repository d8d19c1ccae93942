/* SPDX-License-Identifier: MIT */
#include "admin/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void table_init(struct table *t, uint32_t left)
{
    *t = (struct table){.left = left};
}

void table_fini(struct table *t)
{
    free(t->rows);
}

struct table_row *table_row(struct table *t)
{
    t->rows = mem_grow(t->rows, t->count + 1, sizeof(*t->rows));
    struct table_row *row = &t->rows[t->count++];
    row->count = 0;
    row->style = 0;
    return row;
}

/* What terminals could take for a command of theirs is not for them. */
static void tame(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void table_cell(struct table *t, const char *format, ...)
{
    struct table_row *row = &t->rows[t->count - 1];
    if (row->count == TABLE_COLUMNS_MAX)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(row->cells[row->count], TABLE_CELL_MAX, format, args);
    va_end(args);
    tame(row->cells[row->count++]);
}

const char *table_duration(char *buf, uint64_t us)
{
    double ms = (double)us / 1000;
    if (us >= 1000000)
        snprintf(buf, TABLE_CELL_MAX, "%.*f s", us >= 10000000 ? 1 : 2, ms / 1000);
    else
        snprintf(buf, TABLE_CELL_MAX, "%.*f ms", us >= 100000 ? 0 : us >= 10000 ? 1 : 2, ms);
    return buf;
}

const char *table_bytes(char *buf, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; bytes >= 1000 && unit < sizeof(units) / sizeof(units[0]) - 1; unit++)
        bytes /= 1000;
    snprintf(buf, TABLE_CELL_MAX, "%.*f %s", unit && bytes < 100 ? 1 : 0, bytes, units[unit]);
    return buf;
}

void table_cell_us(struct table *t, uint64_t us)
{
    char buf[TABLE_CELL_MAX];
    table_cell(t, "%s", us ? table_duration(buf, us) : "-");
}

/* In characters: bytes that go on a UTF-8 character do not count. */
static uint32_t width_of(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static uint32_t column_width(const struct table *t, uint32_t column)
{
    uint32_t width = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t n = column < t->rows[i].count ? width_of(t->rows[i].cells[column]) : 0;
        width = n > width ? n : width;
    }
    return width;
}

static void put_blanks(FILE *out, uint32_t n)
{
    fprintf(out, "%*s", (int)n, "");
}

static void put_cut(FILE *out, const char *text, uint32_t *room)
{
    for (; *text; text++) {
        if ((*text & 0xc0) != 0x80 && (*room)-- == 0) {
            *room = 0;
            return;
        }
        fputc(*text, out);
    }
}

void table_put_row(const struct table *t, uint32_t i, FILE *out, uint32_t width)
{
    const struct table_row *row = &t->rows[i];
    char *line = NULL;
    size_t size;
    FILE *f = open_memstream(&line, &size);
    for (uint32_t c = 0; c < row->count; c++) {
        uint32_t pad = column_width(t, c) - width_of(row->cells[c]);
        fputs(c ? "  " : "", f);
        if (c >= t->left)
            put_blanks(f, pad);
        fputs(row->cells[c], f);
        if (c < t->left && c + 1 < row->count)
            put_blanks(f, pad);
    }
    fclose(f);
    put_cut(out, line, &width);
    free(line);
}

void table_put(const struct table *t, FILE *out)
{
    for (uint32_t i = 0; i < t->count; i++) {
        table_put_row(t, i, out, UINT32_MAX);
        fputc('\n', out);
    }
}
