/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/num.h"

/* Where to write at most n bytes: in place when they fit for sure, else in spare, from where
 * finish() takes what there is room for. */
static char *start(const struct text *t, char *spare, size_t n)
{
    return text_left(t) >= n ? t->p : spare;
}

static void finish(struct text *t, const char *p, size_t n)
{
    if (p == t->p)
        t->p += n;
    else
        text_put(t, slice_of(p, n));
}

void text_dec(struct text *t, uint64_t v)
{
    char spare[NUM_DEC_MAX], *p = start(t, spare, sizeof(spare));
    finish(t, p, num_put_dec(p, v));
}

void text_padded(struct text *t, uint64_t v, unsigned width)
{
    char digits[NUM_DEC_MAX];
    size_t n = num_put_dec(digits, v);
    for (size_t have = n; have < width; have++)
        text_char(t, '0');
    text_put(t, slice_of(digits, n));
}

void text_id(struct text *t, uint64_t id)
{
    char spare[TEXT_ID_LEN], *p = start(t, spare, sizeof(spare));
    for (int i = TEXT_ID_LEN - 1; i >= 0; i--, id >>= 4)
        p[i] = "0123456789abcdef"[id & 15];
    finish(t, p, sizeof(spare));
}

struct civil {
    uint32_t year, month, day, hour, minute, second, us;
};

/* UTC in the Gregorian calendar. Counted from 1 March of year 0, so that the leap day is the last
 * of its year and a month's start is a linear function of the month. Times before 1970 are shown
 * as 1970: no clock of ours is there. */
static struct civil civil_of(int64_t wall_us)
{
    enum { DAYS_TO_1970 = 719468, DAYS_400_YEARS = 146097 };
    uint64_t us = wall_us < 0 ? 0 : (uint64_t)wall_us;
    uint64_t seconds = us / 1000000;
    uint32_t in_day = (uint32_t)(seconds % 86400);
    uint64_t days = seconds / 86400 + DAYS_TO_1970;
    uint32_t in_era = (uint32_t)(days % DAYS_400_YEARS);
    uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * in_year + 2) / 153; /* 0: March */
    uint32_t era = (uint32_t)(days / DAYS_400_YEARS);
    return (struct civil){
        .year = era * 400 + year + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = in_year - (153 * month + 2) / 5 + 1,
        .hour = in_day / 3600,
        .minute = in_day / 60 % 60,
        .second = in_day % 60,
        .us = (uint32_t)(us % 1000000),
    };
}

static char *put2(char *p, uint32_t v, char after)
{
    p[0] = (char)('0' + v / 10 % 10);
    p[1] = (char)('0' + v % 10);
    p[2] = after;
    return p + 3;
}

void text_time(struct text *t, int64_t wall_us)
{
    char spare[24], *out = start(t, spare, sizeof(spare)), *p = out;
    struct civil c = civil_of(wall_us);
    *p++ = (char)('0' + c.year / 1000 % 10);
    *p++ = (char)('0' + c.year / 100 % 10);
    p = put2(p, c.year, '-');
    p = put2(p, c.month, '-');
    p = put2(p, c.day, 'T');
    p = put2(p, c.hour, ':');
    p = put2(p, c.minute, ':');
    p = put2(p, c.second, '.');
    *p++ = (char)('0' + c.us / 100000);
    put2(p, c.us / 1000, 'Z');
    finish(t, out, sizeof(spare));
}

void text_clf_time(struct text *t, int64_t wall_us)
{
    static const char months[12][4] = {"Jan/", "Feb/", "Mar/", "Apr/", "May/", "Jun/",
                                       "Jul/", "Aug/", "Sep/", "Oct/", "Nov/", "Dec/"};
    char spare[26], *out = start(t, spare, sizeof(spare)), *p = out;
    struct civil c = civil_of(wall_us);
    p = put2(p, c.day, '/');
    memcpy(p, months[c.month - 1], 4);
    p += 4;
    *p++ = (char)('0' + c.year / 1000 % 10);
    *p++ = (char)('0' + c.year / 100 % 10);
    p = put2(p, c.year, ':');
    p = put2(p, c.hour, ':');
    p = put2(p, c.minute, ':');
    p = put2(p, c.second, ' ');
    memcpy(p, "+0000", 5);
    finish(t, out, sizeof(spare));
}

/* Length of the UTF-8 character at p (RFC 3629 4), 0 if it is none. C1 controls (U+0080..9F) are
 * counted as none: terminals obey them. */
static size_t utf8_len(const char *s, size_t left)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return left >= 2 && (p[1] & 0xc0) == 0x80 && (p[0] != 0xc2 || p[1] >= 0xa0) ? 2 : 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        unsigned low = p[0] == 0xe0 ? 0xa0 : 0x80, high = p[0] == 0xed ? 0x9f : 0xbf;
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        unsigned low = p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xf4 ? 0x8f : 0xbf;
        return left >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 &&
                       (p[3] & 0xc0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes at the front need no escape; eight at a time while all eight are plain. */
static size_t plain_run(const char *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101, tops = ones * 0x80;
    size_t at = 0;
    for (; n - at >= 8; at += 8) {
        uint64_t v;
        memcpy(&v, p + at, 8);
        uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';
        uint64_t low = v - ones * 0x20, del = v + ones; /* 0x7f + 1 sets the top bit */
        if ((v | low | del | (quote - ones) | (slash - ones)) & tops)
            break;
    }
    while (at < n && is_plain((unsigned char)p[at]))
        at++;
    return at;
}

/* The escaped form of the byte c at out; answers its length. prefix: "\x" or "\u00". */
static size_t escape(char *out, unsigned char c, struct slice prefix)
{
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    memcpy(out, prefix.p, prefix.n);
    out[prefix.n] = "0123456789abcdef"[c >> 4];
    out[prefix.n + 1] = "0123456789abcdef"[c & 15];
    return prefix.n + 2;
}

static void escaped(struct text *t, struct slice s, size_t max, struct slice prefix)
{
    size_t left = max < text_left(t) ? max : text_left(t);
    while (s.n) {
        size_t run = plain_run(s.p, s.n);
        if (run) {
            run = run < left ? run : left;
            text_put(t, slice_first(s, run));
        } else {
            char form[8];
            size_t n;
            run = utf8_len(s.p, s.n);
            if (run) {
                memcpy(form, s.p, n = run);
            } else {
                n = escape(form, (unsigned char)s.p[0], prefix);
                run = 1;
            }
            if (n > left)
                return;
            text_put(t, slice_of(form, n));
            left -= n;
            s = slice_skip(s, run);
            continue;
        }
        left -= run;
        s = slice_skip(s, run);
        if (left == 0)
            return;
    }
}

void text_json(struct text *t, struct slice s, size_t max)
{
    escaped(t, s, max, SLICE("\\u00"));
}

void text_quoted(struct text *t, struct slice s, size_t max)
{
    escaped(t, s, max, SLICE("\\x"));
}

void text_html(struct text *t, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '&': text_lit(t, "&amp;"); break;
        case '<': text_lit(t, "&lt;"); break;
        case '>': text_lit(t, "&gt;"); break;
        case '"': text_lit(t, "&quot;"); break;
        case '\'': text_lit(t, "&#39;"); break;
        default: text_char(t, s.p[i]);
        }
    }
}
