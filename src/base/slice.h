/* A view of bytes that somebody else owns. Passed by value, never NUL-terminated.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    } /* for static tables */
#define SLICE_NONE   ((struct slice){NULL, 0})
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){p, n};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive, as field names, schemes and host names compare (RFC 9110 5.1, 4.2.3). */
static inline bool slice_ieq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool slice_ends(struct slice s, struct slice suffix)
{
    return suffix.n == 0 ||
           (s.n >= suffix.n && memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

static inline struct slice slice_skip(struct slice s, size_t n)
{
    return n ? (struct slice){s.p + n, s.n - n} : s; /* an empty slice may point nowhere */
}

static inline struct slice slice_first(struct slice s, size_t n)
{
    return (struct slice){s.p, n < s.n ? n : s.n};
}

/* Index of the first c, or s.n. */
static inline size_t slice_find(struct slice s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

/* Without leading and trailing OWS (RFC 9110 5.6.3). */
static inline struct slice slice_trim(struct slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = slice_skip(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Copies s to p; answers what comes behind. The caller has measured. */
static inline char *slice_put(char *p, struct slice s)
{
    if (s.n)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

/* Takes the next element of a comma-separated list (RFC 9110 5.6.1) off *list, trimmed;
 * empty elements are skipped. False at the end. Quoted strings are not looked into: use it
 * only for lists of tokens. */
static inline bool slice_next_token(struct slice *list, struct slice *token)
{
    while (list->n) {
        size_t at = slice_find(*list, ',');
        *token = slice_trim(slice_first(*list, at));
        *list = slice_skip(*list, at < list->n ? at + 1 : at);
        if (token->n)
            return true;
    }
    return false;
}

#endif
