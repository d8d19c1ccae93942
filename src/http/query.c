/* SPDX-License-Identifier: MIT */
#include "http/query.h"

#include "base/num.h"

bool query_next(struct slice *query, struct slice *name, struct slice *value)
{
    while (query->n) {
        size_t end = slice_find(*query, '&');
        struct slice pair = slice_first(*query, end);
        *query = slice_skip(*query, end < query->n ? end + 1 : end);
        if (!pair.n)
            continue;
        size_t equals = slice_find(pair, '=');
        *name = slice_first(pair, equals);
        *value = slice_skip(pair, equals < pair.n ? equals + 1 : equals);
        return true;
    }
    return false;
}

bool query_find(struct slice query, struct slice name, struct slice *value)
{
    struct slice sent;
    while (query_next(&query, &sent, value))
        if (query_means(sent, name))
            return true;
    *value = SLICE_NONE;
    return false;
}

/* The byte at the front of what was sent, taken off. */
static char take_byte(struct slice *sent)
{
    uint64_t byte;
    char c = sent->p[0];
    if (c == '%' && sent->n >= 3 && num_hex(slice_of(sent->p + 1, 2), &byte)) {
        *sent = slice_skip(*sent, 3);
        return (char)byte;
    }
    *sent = slice_skip(*sent, 1);
    return c == '+' ? ' ' : c;
}

bool query_means(struct slice sent, struct slice text)
{
    while (sent.n && text.n) {
        if (take_byte(&sent) != text.p[0])
            return false;
        text = slice_skip(text, 1);
    }
    return sent.n == 0 && text.n == 0;
}

struct slice query_decode(struct slice sent, char *p)
{
    size_t n = 0;
    while (sent.n)
        p[n++] = take_byte(&sent);
    return slice_of(p, n);
}
