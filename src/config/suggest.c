/* SPDX-License-Identifier: MIT */
#include "config/suggest.h"

enum { WORD_MAX = 40 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours count one. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned change = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, change);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                row[j] = min3(row[j], before[j - 2] + 1, row[j]);
        }
        unsigned *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

void suggest_try(struct suggest *s, const char *name)
{
    struct slice candidate = slice_str(name);
    if (s->word.n == 0 || s->word.n > WORD_MAX || candidate.n > WORD_MAX)
        return;
    unsigned d = distance(s->word, candidate);
    /* Whoever writes the first half of a name means it: "resp" for "response". */
    if (s->word.n >= 3 && slice_starts(candidate, s->word))
        d = 1;
    size_t longer = s->word.n > candidate.n ? s->word.n : candidate.n;
    if (d > 1 + longer / 4 || d >= longer || (s->best && d >= s->distance))
        return;
    s->best = name;
    s->distance = d;
}
