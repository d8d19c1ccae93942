/* SPDX-License-Identifier: MIT */
#include "base/num.h"

#include <string.h>

enum { SAFE_DIGITS = 19 }; /* so many fit into 64 bits, whatever they are */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool num_dec(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9)
            return false;
        if (i < SAFE_DIGITS)
            v = v * 10 + d;
        else if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    *out = v;
    return s.n > 0;
}

bool num_hex(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        int d = hex_value(s.p[i]);
        if (d < 0 || v >> 60)
            return false;
        v = v << 4 | (unsigned)d;
    }
    *out = v;
    return s.n > 0;
}

struct unit {
    struct slice suffix;
    uint64_t factor;
};

/* units: the first whose suffix ends s counts, so longer suffixes stand first. */
static bool scaled(struct slice s, const struct unit *units, size_t count, uint64_t *out)
{
    for (size_t i = 0; i < count; i++) {
        struct slice suffix = units[i].suffix;
        if (!slice_ends(s, suffix))
            continue;
        uint64_t v;
        if (!num_dec(slice_first(s, s.n - suffix.n), &v))
            return false;
        return !__builtin_mul_overflow(v, units[i].factor, out);
    }
    return false;
}

bool num_size(struct slice s, uint64_t *bytes)
{
    static const struct unit units[] = {
        {SLICE_INIT("k"), 1u << 10}, {SLICE_INIT("K"), 1u << 10}, {SLICE_INIT("m"), 1u << 20},
        {SLICE_INIT("M"), 1u << 20}, {SLICE_INIT("g"), 1u << 30}, {SLICE_INIT("G"), 1u << 30},
        {SLICE_INIT(""), 1},
    };
    return scaled(s, units, sizeof(units) / sizeof(units[0]), bytes);
}

bool num_ms(struct slice s, uint64_t *ms)
{
    static const struct unit units[] = {
        {SLICE_INIT("ms"), 1},       {SLICE_INIT("s"), 1000},      {SLICE_INIT("m"), 60000},
        {SLICE_INIT("h"), 3600000u}, {SLICE_INIT("d"), 86400000u},
    };
    if (slice_eq(s, SLICE("0"))) {
        *ms = 0;
        return true;
    }
    return scaled(s, units, sizeof(units) / sizeof(units[0]), ms);
}

/* Counts first, so that every digit is written once, where it belongs. */
static inline __attribute__((always_inline)) size_t put(char *p, uint64_t v, unsigned base)
{
    size_t n = 1;
    for (uint64_t rest = v / base; rest; rest /= base)
        n++;
    for (size_t i = n; i-- > 0; v /= base)
        p[i] = "0123456789abcdef"[v % base];
    return n;
}

size_t num_put_dec(char *p, uint64_t v)
{
    return put(p, v, 10);
}

size_t num_put_hex(char *p, uint64_t v)
{
    return put(p, v, 16);
}
