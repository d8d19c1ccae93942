/* SPDX-License-Identifier: MIT */
#include "http/condition.h"

#include "http/condition_internal.h"
#include "http/date.h"

/* ---- entity tags ---- */

static bool is_weak(struct slice tag)
{
    return slice_starts(tag, SLICE("W/"));
}

static bool eq_weakly(struct slice a, struct slice b)
{
    return slice_eq(slice_skip(a, is_weak(a) ? 2 : 0), slice_skip(b, is_weak(b) ? 2 : 0));
}

static bool eq_strongly(struct slice a, struct slice b)
{
    return slice_eq(a, b) && !is_weak(a);
}

typedef bool tag_eq_fn(struct slice a, struct slice b);

/* Whether a line ("*" / #entity-tag) names a tag like this one. Commas are looked for in front of
 * each tag but the first; what is wrong behind a match does not matter any more. */
static bool names_tag(struct slice line, struct slice tag, tag_eq_fn *eq)
{
    bool after_tag = false;
    if (slice_eq(line, SLICE("*")))
        return true;
    for (struct slice token;;) {
        switch (etag_lex(&line, &token)) {
        case ETAG_END:
        case ETAG_BAD: return false;
        case ETAG_COMMA: after_tag = false; break;
        case ETAG_TAG:
            if (after_tag)
                return false;
            if (tag.n && eq(token, tag))
                return true;
            after_tag = true;
            break;
        }
    }
}

/* A list may be spread over lines (RFC 9110 5.3). */
static bool matches(const struct fields *fields, enum field_id id, struct slice tag, tag_eq_fn *eq)
{
    for (unsigned i = 0; i < fields->n; i++)
        if (fields->v[i].id == id && !fields->v[i].dropped &&
            names_tag(fields->v[i].value, tag, eq))
            return true;
    return false;
}

bool condition_has_strongly(const struct fields *fields, struct slice etag)
{
    return fields_has(fields, FIELD_IF_NONE_MATCH) &&
           matches(fields, FIELD_IF_NONE_MATCH, etag, eq_strongly);
}

bool condition_is_etag(struct slice s)
{
    struct slice token;
    return etag_lex(&s, &token) == ETAG_TAG && s.n == 0;
}

/* ---- dates ---- */

static bool date_of(const struct fields *fields, enum field_id id, int64_t *wall_s)
{
    return fields_has(fields, id) && date_parse(fields_value(fields, id), wall_s);
}

/* ---- RFC 9110 13.2.2 ---- */

/* Steps 1 and 2: may the request be carried out? */
static bool is_as_expected(const struct fields *fields, const struct validators *v)
{
    int64_t since_s;
    if (fields_has(fields, FIELD_IF_MATCH))
        return matches(fields, FIELD_IF_MATCH, v->etag, eq_strongly);
    if (v->modified_s != MODIFIED_UNKNOWN && date_of(fields, FIELD_IF_UNMODIFIED_SINCE, &since_s))
        return v->modified_s <= since_s;
    return true;
}

/* Steps 3 and 4: does the client have it? */
static bool is_had(const struct fields *fields, bool is_read, const struct validators *v)
{
    int64_t since_s;
    if (fields_has(fields, FIELD_IF_NONE_MATCH))
        return matches(fields, FIELD_IF_NONE_MATCH, v->etag, eq_weakly);
    if (is_read && v->modified_s != MODIFIED_UNKNOWN &&
        date_of(fields, FIELD_IF_MODIFIED_SINCE, &since_s))
        return v->modified_s <= since_s;
    return false;
}

enum condition condition_check(const struct fields *fields, enum method method,
                               const struct validators *v)
{
    const uint64_t any = UINT64_C(1) << FIELD_IF_MATCH | UINT64_C(1) << FIELD_IF_UNMODIFIED_SINCE |
                         UINT64_C(1) << FIELD_IF_NONE_MATCH |
                         UINT64_C(1) << FIELD_IF_MODIFIED_SINCE;
    bool is_read = method == METHOD_GET || method == METHOD_HEAD;
    if (!(fields->seen & any))
        return CONDITION_MET;
    if (!is_as_expected(fields, v))
        return CONDITION_FAILED;
    if (!is_had(fields, is_read, v))
        return CONDITION_MET;
    return is_read ? CONDITION_NOT_MODIFIED : CONDITION_FAILED;
}

bool condition_allows_range(const struct fields *fields, const struct validators *v)
{
    int64_t since_s;
    struct slice value;
    if (!fields_has(fields, FIELD_IF_RANGE))
        return true;
    value = fields_value(fields, FIELD_IF_RANGE);
    if (condition_is_etag(value))
        return eq_strongly(value, v->etag);
    return v->modified_strong && date_parse(value, &since_s) && since_s == v->modified_s;
}
