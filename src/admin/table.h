/* Text in columns, for terminals: every column is as wide as its widest cell; the first ones stand
 * on the left, numbers on the right.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_TABLE_H
#define ADMIN_TABLE_H

#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16, TABLE_CELL_MAX = 96 };

struct table_row {
    char cells[TABLE_COLUMNS_MAX][TABLE_CELL_MAX];
    uint32_t count;
    int style; /* the caller's; 0 at first */
};

struct table {
    struct table_row *rows;
    uint32_t count;
    uint32_t left; /* columns that stand on the left */
};

void table_init(struct table *t, uint32_t left);
void table_fini(struct table *t);
/* Begins a row; its cells follow. Valid until the next row. */
struct table_row *table_row(struct table *t);
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A duration, "1.25 ms"; "-" for 0. */
void table_cell_us(struct table *t, uint64_t us);
/* Row i as a line without its end; at most width characters. Columns are as wide as in all rows. */
void table_put_row(const struct table *t, uint32_t i, FILE *out, uint32_t width);
/* All of it. */
void table_put(const struct table *t, FILE *out);

/* "1.25 ms", "12.3 s" into a buffer of TABLE_CELL_MAX. */
const char *table_duration(char *buf, uint64_t us);
/* "980 B", "12.3 MB" */
const char *table_bytes(char *buf, double bytes);

#endif
