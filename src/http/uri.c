/* SPDX-License-Identifier: MIT */
#include "http/uri.h"

#include "base/num.h"
#include "http/uri_internal.h"

/* True for what most paths are: nothing encoded, no empty segment, none that begins with a dot. */
static bool is_normal(struct slice raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if ((unsigned char)c > '/') /* nearly all */
            continue;
        char next = i + 1 < raw.n ? raw.p[i + 1] : 'x';
        if (c == '%' || c == '\0' || (c == '/' && (next == '/' || next == '.')))
            return false;
    }
    return true;
}

/* The path as far as it is normal: begins with '/', and `last` is where its last segment begins. */
struct normal {
    char *p;
    size_t n, last;
};

/* RFC 3986 5.2.4: looks at the segment that has just ended. False if it climbs above the root. */
static bool end_segment(struct normal *o)
{
    struct slice segment = slice_of(o->p + o->last, o->n - o->last);
    if (slice_eq(segment, SLICE("."))) {
        o->n = o->last;
    } else if (slice_eq(segment, SLICE(".."))) {
        if (o->last == 1)
            return false;
        for (o->n = o->last - 1; o->p[o->n - 1] != '/'; o->n--)
            ;
    }
    o->last = o->n;
    return true;
}

/* Behind a slash there is one already: after the root, or where a dot segment has gone. */
static bool put_slash(struct normal *o)
{
    if (!end_segment(o))
        return false;
    if (o->p[o->n - 1] != '/')
        o->p[o->n++] = '/';
    o->last = o->n;
    return true;
}

static void put_text(struct normal *o, struct slice text)
{
    memcpy(o->p + o->n, text.p, text.n);
    o->n += text.n;
}

static bool put_encoded(struct normal *o, struct slice encoded)
{
    uint64_t byte;
    if (!num_hex(slice_skip(encoded, 1), &byte))
        return false;
    o->p[o->n++] = (char)byte;
    return true;
}

static enum parse normalise(struct slice raw, struct normal *o, struct fault *f)
{
    struct slice token;
    bool inside = true;
    while (inside) {
        switch (uri_path_lex(&raw, &token)) {
        case PATH_SLASH: inside = put_slash(o); break;
        case PATH_TEXT: put_text(o, token); break;
        case PATH_ENCODED: inside = put_encoded(o, token); break;
        case PATH_END:
            if (end_segment(o))
                return PARSE_DONE;
            inside = false;
            break;
        case PATH_BAD: return fault_bad(f, 400, "invalid percent-encoding", "RFC 3986 2.1");
        }
    }
    return fault_bad(f, 400, "path climbs above the root", "RFC 3986 5.2.4");
}

enum parse uri_normalise_path(struct slice raw, struct arena *a, struct slice *out, struct fault *f)
{
    *out = raw;
    if (slice_eq(raw, SLICE("*")))
        return PARSE_DONE;
    if (raw.n == 0 || raw.p[0] != '/')
        return fault_bad(f, 400, "path does not begin with a slash", "RFC 9112 3.2.1");
    if (is_normal(raw))
        return PARSE_DONE;
    struct normal o = {.p = arena_alloc(a, raw.n), .n = 1, .last = 1};
    o.p[0] = '/';
    if (normalise(slice_skip(raw, 1), &o, f) == PARSE_BAD)
        return PARSE_BAD;
    *out = slice_of(o.p, o.n);
    return PARSE_DONE;
}

/* The byte in front, decoded, which is taken off. */
static char take_byte(struct slice *raw)
{
    uint64_t byte;
    bool is_encoded = raw->p[0] == '%' && raw->n > 2 && num_hex(slice_of(raw->p + 1, 2), &byte);
    char c = is_encoded ? (char)byte : raw->p[0];
    *raw = slice_skip(*raw, is_encoded ? 3 : 1);
    return c;
}

bool uri_has_dots(struct slice raw)
{
    unsigned dots = 0; /* that the segment consists of so far; 3: it is none of these */
    while (raw.n) {
        char c = take_byte(&raw);
        if (c == '/' && (dots == 1 || dots == 2))
            return true;
        dots = c == '/' ? 0 : c == '.' && dots < 3 ? dots + 1 : 3;
    }
    return dots == 1 || dots == 2;
}

bool uri_split_authority(struct slice authority, struct slice *host, int *port)
{
    struct slice digits;
    uint64_t number = 0;
    *port = -1;
    if (authority.n == 0 || !uri_authority_lex(authority, host, &digits))
        return false;
    if (digits.n == 0)
        return true; /* RFC 3986 3.2.3: the port may be empty */
    if (!num_dec(digits, &number) || number > UINT16_MAX)
        return false;
    *port = (int)number;
    return true;
}

bool uri_split_target(struct slice target, struct slice *path, struct slice *query)
{
    return target.n && uri_target_lex(target, path, query);
}
