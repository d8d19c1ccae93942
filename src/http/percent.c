/* SPDX-License-Identifier: MIT */
#include "http/percent.h"

/* RFC 3986 3.3 and 3.4: what stands for itself, besides letters and digits. Of a query without what
 * forms give a meaning. */
static const struct slice plain[] = {
    [PERCENT_PATH] = SLICE_INIT("-._~!$&'()*+,;=:@/"),
    [PERCENT_QUERY] = SLICE_INIT("-._~!'()*,:@/"),
};

static bool stays(char c, enum percent_part part)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           slice_find(plain[part], c) < plain[part].n;
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
