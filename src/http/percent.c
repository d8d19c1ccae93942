/* SPDX-License-Identifier: MIT */
#include "http/percent.h"

#include <stdint.h>

enum { IN_PATH = 1 << PERCENT_PATH, IN_QUERY = 1 << PERCENT_QUERY, IN_BOTH = IN_PATH | IN_QUERY };

/* RFC 3986 3.3 and 3.4: where a character stands for itself. In a query not where forms give it a
 * meaning. */
static const uint8_t stands[256] = {
    ['0' ... '9'] = IN_BOTH, ['A' ... 'Z'] = IN_BOTH, ['a' ... 'z'] = IN_BOTH, ['-'] = IN_BOTH,
    ['.'] = IN_BOTH,         ['_'] = IN_BOTH,         ['~'] = IN_BOTH,         ['!'] = IN_BOTH,
    ['\''] = IN_BOTH,        ['('] = IN_BOTH,         [')'] = IN_BOTH,         ['*'] = IN_BOTH,
    [','] = IN_BOTH,         [':'] = IN_BOTH,         ['@'] = IN_BOTH,         ['/'] = IN_BOTH,
    ['$'] = IN_PATH,         ['&'] = IN_PATH,         ['+'] = IN_PATH,         [';'] = IN_PATH,
    ['='] = IN_PATH,
};

static inline bool stays(char c, enum percent_part part)
{
    return stands[(unsigned char)c] & (1 << part);
}

size_t percent_length(struct slice s, enum percent_part part)
{
    size_t n = s.n;
    for (size_t i = 0; i < s.n; i++)
        n += stays(s.p[i], part) ? 0 : 2;
    return n;
}

char *percent_put(char *p, struct slice s, enum percent_part part)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (stays(s.p[i], part)) {
            *p++ = s.p[i];
            continue;
        }
        *p++ = '%';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 15];
    }
    return p;
}

struct slice percent_encode(struct slice s, enum percent_part part, struct arena *a)
{
    size_t n = percent_length(s, part);
    if (n == s.n)
        return s;
    char *p = arena_alloc(a, n);
    percent_put(p, s, part);
    return slice_of(p, n);
}
