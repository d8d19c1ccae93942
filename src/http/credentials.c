/* SPDX-License-Identifier: MIT */
#include "http/credentials.h"

#include <stdint.h>

#include "http/credentials_internal.h"

static uint32_t sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : 0; /* padding */
}

/* Groups of four, as the lexer has seen. */
static size_t decode(struct slice token68, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < token68.n; i += 4) {
        const char *p = token68.p + i;
        uint32_t bits = sextet(p[0]) << 18 | sextet(p[1]) << 12 | sextet(p[2]) << 6 | sextet(p[3]);
        out[n++] = (char)(bits >> 16);
        out[n++] = (char)(bits >> 8);
        out[n++] = (char)bits;
    }
    return n - slice_ends(token68, SLICE("=")) - slice_ends(token68, SLICE("=="));
}

/* RFC 7617 2: neither has control characters. */
static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

bool credentials_basic(struct slice value, char *room, struct slice *user, struct slice *password)
{
    struct slice token68;
    if (!value.n || !credentials_lex_basic(value, &token68))
        return false;
    struct slice pair = slice_of(room, decode(token68, room));
    size_t colon = slice_find(pair, ':');
    if (colon == pair.n || has_control(pair))
        return false;
    *user = slice_first(pair, colon);
    *password = slice_skip(pair, colon + 1);
    return true;
}
