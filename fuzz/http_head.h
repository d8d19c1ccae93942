/* What both kinds of heads must fulfil when they have been accepted.
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_HTTP_HEAD_H
#define FUZZ_HTTP_HEAD_H

#include "fuzz.h"
#include "http/head.h"

static const struct head_limits fuzz_limits = {
    .head_bytes = 16384, .target_bytes = 8192, .fields = 100};

static inline bool fuzz_is_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static inline bool fuzz_is_visible(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

static inline void fuzz_check_fields(struct slice head, const struct fields *fs)
{
    HOLDS(fs->n <= fuzz_limits.fields);
    for (unsigned i = 0; i < fs->n; i++) {
        const struct field *f = &fs->v[i];
        HOLDS(fuzz_lies_in(head, f->name) && fuzz_lies_in(head, f->value));
        HOLDS(f->name.n > 0 && fuzz_is_visible(f->name));
        HOLDS(slice_find(f->name, ':') == f->name.n);
        HOLDS(fuzz_is_text(f->value) && slice_eq(slice_trim(f->value), f->value));
        HOLDS(f->id == field_lookup(f->name));
        HOLDS(f->dropped || fields_find_name(fs, f->name) != NULL);
    }
}

/* The end of a head is the same whether the bytes come at once or one by one. */
static inline bool fuzz_find_end(struct slice bytes, size_t *end)
{
    size_t scanned = 0, slowly = 0;
    enum parse found = head_find_end(bytes, &scanned, end), again = PARSE_MORE;
    scanned = 0;
    for (size_t n = 0; n <= bytes.n && again == PARSE_MORE; n++)
        again = head_find_end(slice_first(bytes, n), &scanned, &slowly);
    HOLDS(found == again && (found == PARSE_MORE || *end == slowly));
    return found == PARSE_DONE;
}

#endif
