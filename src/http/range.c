/* SPDX-License-Identifier: MIT */
#include "http/range.h"

#include "base/num.h"
#include "http/range_internal.h"

void range_ignore(struct range_parse *r)
{
    r->ignore = true;
}

/* Digits that the lexer has seen; a number beyond 64 bits is as good as the largest. */
static uint64_t position(struct slice digits)
{
    uint64_t v;
    return num_dec(digits, &v) ? v : UINT64_MAX;
}

/* last >= first; what lies beyond the end is cut off, or is not satisfiable at all. */
static void add(struct range_parse *r, uint64_t first, uint64_t last)
{
    if (++r->specs > RANGES_MAX)
        return range_ignore(r);
    if (first >= r->length)
        return;
    if (last >= r->length)
        last = r->length - 1;
    r->out->v[r->out->n++] = (struct range){.first = first, .last = last};
}

/* RFC 9110 14.1.1: an int-range whose last-pos is less than its first-pos is invalid. */
void range_add(struct range_parse *r, struct slice first, struct slice last)
{
    if (position(last) < position(first))
        return range_ignore(r);
    add(r, position(first), position(last));
}

void range_add_open(struct range_parse *r, struct slice first)
{
    add(r, position(first), UINT64_MAX);
}

/* RFC 9110 14.1.1: a suffix longer than the whole means the whole, one of no bytes nothing. */
void range_add_suffix(struct range_parse *r, struct slice suffix_length)
{
    uint64_t n = position(suffix_length);
    add(r, n == 0 ? UINT64_MAX : n >= r->length ? 0 : r->length - n, UINT64_MAX);
}

static bool asks_too_much(const struct ranges *ranges, uint64_t length)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ranges->n; i++) {
        uint64_t bytes = ranges->v[i].last - ranges->v[i].first + 1;
        if (bytes > length - sum)
            return true;
        sum += bytes;
    }
    return false;
}

enum range_verdict range_parse(struct slice value, uint64_t length, struct ranges *out)
{
    struct range_parse r = {.rest = value, .length = length, .out = out};
    out->n = 0;
    if (value.n == 0)
        return RANGE_IGNORE;
    range_grammar_run(&r);
    if (r.ignore || !r.accepted || asks_too_much(out, length))
        return RANGE_IGNORE;
    return out->n ? RANGE_SATISFIABLE : RANGE_UNSATISFIABLE;
}
