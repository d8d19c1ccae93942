/* Writes text into memory of a fixed size: log lines, error pages, dumps. What does not fit is
 * cut, never overrun; text_left() == 0 tells. Escaping for the formats we write is here, once.
 *
 * No allocation, no locale, no system call: usable from a signal handler.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdint.h>
#include <string.h>

#include "base/slice.h"

struct text {
    char *start, *p, *end;
};

static inline struct text text_of(char *p, size_t n)
{
    return (struct text){.start = p, .p = p, .end = p + n};
}

static inline size_t text_left(const struct text *t)
{
    return (size_t)(t->end - t->p);
}

static inline struct slice text_slice(const struct text *t)
{
    return slice_of(t->start, (size_t)(t->p - t->start));
}

static inline void text_char(struct text *t, char c)
{
    if (t->p < t->end)
        *t->p++ = c;
}

static inline void text_put(struct text *t, struct slice s)
{
    size_t n = s.n < text_left(t) ? s.n : text_left(t);
    if (n)
        memcpy(t->p, s.p, n);
    t->p += n;
}

#define text_lit(t, literal) text_put(t, SLICE(literal))

void text_dec(struct text *t, uint64_t v);
/* At least width decimal digits, zeros in front. */
void text_padded(struct text *t, uint64_t v, unsigned width);
/* An exchange id: sixteen hexadecimal digits, as it appears in every log and on error pages. */
enum { TEXT_ID_LEN = 16 };
void text_id(struct text *t, uint64_t id);

/* 2026-07-04T12:34:56.789Z (RFC 3339) */
void text_time(struct text *t, int64_t wall_us);
/* 04/Jul/2026:12:34:56 +0000, as web servers have always logged it */
void text_clf_time(struct text *t, int64_t wall_us);

/* Escapers write at most max bytes and cut between characters. Valid UTF-8 passes; control
 * characters, quotes, backslashes and bytes that are no UTF-8 do not. */
void text_json(struct text *t, struct slice s, size_t max);   /* \" \\ \u00XX, without quotes */
void text_quoted(struct text *t, struct slice s, size_t max); /* \" \\ \xHH, without quotes */
void text_html(struct text *t, struct slice s);               /* &amp; &lt; &gt; &quot; &#39; */

#endif
