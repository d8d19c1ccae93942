/* SPDX-License-Identifier: MIT */
#include "http/cookie.h"

/* cookie-string = cookie-pair *( ";" SP cookie-pair ); cookie-pair = cookie-name "=" cookie-value.
 * Names are case-sensitive. */
static bool find_in_line(struct slice line, struct slice name, struct slice *value)
{
    while (line.n) {
        size_t end = slice_find(line, ';');
        struct slice pair = slice_trim(slice_first(line, end));
        size_t equals = slice_find(pair, '=');
        if (equals < pair.n && slice_eq(slice_first(pair, equals), name)) {
            *value = slice_skip(pair, equals + 1);
            return true;
        }
        line = slice_skip(line, end < line.n ? end + 1 : end);
    }
    return false;
}

bool cookie_find(const struct fields *fields, struct slice name, struct slice *value)
{
    for (unsigned i = 0; fields_has(fields, FIELD_COOKIE) && i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        if (f->id == FIELD_COOKIE && !f->dropped && find_in_line(f->value, name, value))
            return true;
    }
    return false;
}
