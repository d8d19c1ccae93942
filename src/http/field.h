/* Field names and lists of fields (RFC 9110 5).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum field_id {
    FIELD_OTHER,
#define FIELD(id, name, flags) FIELD_##id,
#include "http/field.def"
#undef FIELD
    FIELD_IDS
};

enum { FIELD_HOP = 1, FIELD_KEEP = 2, FIELD_SINGLE = 4 };

struct field {
    struct slice name;  /* as received */
    struct slice value; /* without surrounding OWS */
    uint8_t id;         /* enum field_id */
    bool dropped;       /* taken out by a rewrite or as hop-by-hop: not sent on */
    bool is_gone;       /* dropped for good: a request that begins again is without it, too */
};

/* Lines in the order received. Grows in an arena; `seen` has bit 1 << id of every known one. */
struct fields {
    struct field *v;
    uint16_t n, cap;
    uint64_t seen;
};

_Static_assert(FIELD_IDS <= 64, "fields.seen has a bit for each known field");

enum field_id field_lookup(struct slice name); /* ASCII case-insensitive */
const char *field_name(enum field_id id);      /* canonical spelling; "" for FIELD_OTHER */
struct slice field_text(enum field_id id);     /* the same */
unsigned field_flags(enum field_id id);

void fields_grow(struct fields *fs, struct arena *a); /* by fields_add only */

static inline struct field *fields_add(struct fields *fs, struct arena *a, enum field_id id,
                                       struct slice name, struct slice value)
{
    if (fs->n == fs->cap)
        fields_grow(fs, a);
    struct field *f = &fs->v[fs->n++];
    *f = (struct field){.name = name, .value = value, .id = (uint8_t)id};
    fs->seen |= UINT64_C(1) << id;
    return f;
}

static inline bool fields_has(const struct fields *fs, enum field_id id)
{
    return fs->seen & (UINT64_C(1) << id);
}

/* For the two below: most fields asked for are not there, and that is seen without a call. */
struct field *fields_find_line(const struct fields *fs, enum field_id id);
void fields_drop_lines(struct fields *fs, enum field_id id);

/* The first line that is not dropped, or NULL. */
static inline struct field *fields_find(const struct fields *fs, enum field_id id)
{
    return fields_has(fs, id) ? fields_find_line(fs, id) : NULL;
}
/* Marks all lines with this id dropped; fields_has is false from then on. */
static inline void fields_drop(struct fields *fs, enum field_id id)
{
    if (fields_has(fs, id))
        fields_drop_lines(fs, id);
}
/* The same for all that belong to one connection (RFC 9110 7.6.1), which fields_has goes on to
 * tell. */
void fields_drop_hop_by_hop(struct fields *fs);
struct field *fields_find_name(const struct fields *fs, struct slice name);
/* Its value, or SLICE_NONE. */
struct slice fields_value(const struct fields *fs, enum field_id id);
/* Whether any line of a list-valued field (of tokens) has this token, case-insensitively. */
bool fields_has_token(const struct fields *fs, enum field_id id, struct slice token);
/* Whether an application might take one name for the other: some see '_' and '-' as the same. */
bool field_is_alike(struct slice a, struct slice b);
/* Every line of this name goes for good, and of those that are alike. */
void fields_expel(struct fields *fs, struct slice name);

/* Of the first count lines, which a peer sent, drops those that look like a field that is not the
 * peer's to say (KEEP, HOP in field.def) or like one of the lines behind, which are ours. Answers
 * how many. */
unsigned fields_drop_aliases(struct fields *fs, unsigned count);

/* Behind the last line; a list without lines lies nowhere. */
static inline struct field *fields_end(const struct fields *fs)
{
    return fs->n ? fs->v + fs->n : fs->v;
}

#endif
