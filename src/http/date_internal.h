/* What the lexer of date.c finds. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_DATE_INTERNAL_H
#define HTTP_DATE_INTERNAL_H

#include "base/slice.h"

struct date_parts {
    const char *day, *month, *year, *time; /* "06", "Nov", "1994", "08:49:37" */
    int year_digits;                       /* 2 or 4 */
};

bool date_lex(struct slice s, struct date_parts *out);

#endif
