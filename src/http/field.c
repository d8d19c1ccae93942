/* Field names become numbers here, once for each line received, so the look-up is a hash of three
 * letters and the length into a table that a constructor fills before main().
 * SPDX-License-Identifier: MIT */
#include "http/field.h"

#include <assert.h>

enum { HOP = FIELD_HOP, KEEP = FIELD_KEEP, SINGLE = FIELD_SINGLE };
enum { SLOTS = 128, FIRST_CAP = 16 };

struct known {
    const char *name;
    uint8_t n, flags;
    char lower[24];
};

/* clang-format off */
static struct known known[FIELD_IDS] = {
    [FIELD_OTHER] = {"", 0, 0, ""},
#define FIELD(id, name, flags) [FIELD_##id] = {name, sizeof(name) - 1, flags, ""},
#include "http/field.def"
#undef FIELD
};
/* clang-format on */

static uint8_t slots[SLOTS]; /* enum field_id; FIELD_OTHER is an empty slot */

static inline unsigned slot_of(const char *p, size_t n)
{
    unsigned first = (unsigned char)p[0] | 0x20, last = (unsigned char)p[n - 1] | 0x20;
    unsigned middle = (unsigned char)p[n / 2] | 0x20;
    return (unsigned)n * 11 + first + last * 5 + middle * 3;
}

__attribute__((constructor)) static void field_table_fill(void)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        struct known *k = &known[id];
        assert(k->n <= 24); /* what fold_eq compares */
        for (unsigned i = 0; i < k->n; i++) {
            char c = k->name[i];
            k->lower[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        unsigned at = slot_of(k->lower, k->n);
        while (slots[at % SLOTS] != FIELD_OTHER)
            at++;
        slots[at % SLOTS] = (uint8_t)id;
    }
}

/* Whether words are equal but for the case of letters. A byte of the lower-case name with 0x40 set
 * is a letter and may differ in 0x20; digits and '-' may not differ. */
static inline bool fold_eq_word(uint64_t given, uint64_t lower)
{
    return ((given ^ lower) & ~((lower >> 1) & UINT64_C(0x2020202020202020))) == 0;
}

#define FOLD_EQ(bits)                                                                              \
    static inline bool fold_eq##bits(const char *given, const char *lower)                         \
    {                                                                                              \
        uint##bits##_t a, b;                                                                       \
        memcpy(&a, given, sizeof(a));                                                              \
        memcpy(&b, lower, sizeof(b));                                                              \
        return fold_eq_word(a, b);                                                                 \
    }
FOLD_EQ(8)
FOLD_EQ(16)
FOLD_EQ(32)
FOLD_EQ(64)
#undef FOLD_EQ

/* Compares word by word, the last two of which may overlap. */
static inline bool fold_eq(const char *given, const char *lower, size_t n)
{
    if (n > 16 && !fold_eq64(given + 8, lower + 8))
        return false;
    if (n >= 8)
        return fold_eq64(given, lower) && fold_eq64(given + n - 8, lower + n - 8);
    if (n >= 4)
        return fold_eq32(given, lower) && fold_eq32(given + n - 4, lower + n - 4);
    if (n >= 2)
        return fold_eq16(given, lower) && fold_eq16(given + n - 2, lower + n - 2);
    return fold_eq8(given, lower);
}

enum field_id field_lookup(struct slice name)
{
    if (name.n == 0)
        return FIELD_OTHER;
    unsigned at = slot_of(name.p, name.n);
    for (unsigned id; (id = slots[at % SLOTS]) != FIELD_OTHER; at++) {
        const struct known *k = &known[id];
        if (k->n == name.n && fold_eq(name.p, k->lower, name.n))
            return (enum field_id)id;
    }
    return FIELD_OTHER;
}

const char *field_name(enum field_id id)
{
    return known[id].name;
}

struct slice field_text(enum field_id id)
{
    return slice_of(known[id].name, known[id].n);
}

unsigned field_flags(enum field_id id)
{
    return known[id].flags;
}

void fields_grow(struct fields *fs, struct arena *a)
{
    unsigned cap = fs->cap ? fs->cap * 2u : FIRST_CAP;
    assert(cap <= UINT16_MAX);
    struct field *v = arena_alloc(a, cap * sizeof(*v));
    if (fs->n)
        memcpy(v, fs->v, fs->n * sizeof(*v));
    fs->v = v;
    fs->cap = (uint16_t)cap;
}

struct field *fields_find_line(const struct fields *fs, enum field_id id)
{
    for (struct field *f = fs->v; f < fields_end(fs); f++)
        if (f->id == id && !f->dropped)
            return f;
    return NULL;
}

struct field *fields_find_name(const struct fields *fs, struct slice name)
{
    enum field_id id = field_lookup(name);
    if (id != FIELD_OTHER || !fields_has(fs, FIELD_OTHER))
        return fields_find(fs, id);
    for (struct field *f = fs->v; f < fields_end(fs); f++)
        if (f->id == FIELD_OTHER && !f->dropped && slice_ieq(f->name, name))
            return f;
    return NULL;
}

struct slice fields_value(const struct fields *fs, enum field_id id)
{
    const struct field *f = fields_find(fs, id);
    return f ? f->value : SLICE_NONE;
}

bool fields_has_token(const struct fields *fs, enum field_id id, struct slice token)
{
    if (!fields_has(fs, id))
        return false;
    for (const struct field *f = fs->v; f < fields_end(fs); f++) {
        if (f->id != id || f->dropped)
            continue;
        struct slice list = f->value, element;
        while (slice_next_token(&list, &element))
            if (slice_ieq(element, token))
                return true;
    }
    return false;
}

void fields_drop_hop_by_hop(struct fields *fs)
{
    uint64_t hop = 0;
#define FIELD(id, name, flags) hop |= (flags)&HOP ? UINT64_C(1) << FIELD_##id : 0;
#include "http/field.def"
#undef FIELD
    if (!(fs->seen & hop))
        return;
    for (struct field *f = fs->v; f < fields_end(fs); f++)
        if (hop >> f->id & 1)
            f->dropped = true;
}

void fields_drop_lines(struct fields *fs, enum field_id id)
{
    for (struct field *f = fs->v; f < fields_end(fs); f++)
        if (f->id == id)
            f->dropped = true;
    fs->seen &= ~(UINT64_C(1) << id);
}

static inline char dashed(char c)
{
    return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool field_is_alike(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (dashed(a.p[i]) != dashed(b.p[i]))
            return false;
    return true;
}

void fields_expel(struct fields *fs, struct slice name)
{
    for (struct field *f = fs->v; f < fields_end(fs); f++)
        if (field_is_alike(f->name, name))
            f->dropped = f->is_gone = true;
}

static bool is_reserved(struct slice name)
{
    enum { NAME_MAX_BYTES = 32 };
    char text[NAME_MAX_BYTES];
    if (name.n > sizeof(text))
        return false;
    for (size_t i = 0; i < name.n; i++)
        text[i] = dashed(name.p[i]);
    return field_flags(field_lookup(slice_of(text, name.n))) & (FIELD_KEEP | FIELD_HOP);
}

static bool passes_for_another(const struct fields *fs, unsigned from, struct slice name)
{
    for (const struct field *f = fs->v + from; f < fields_end(fs); f++)
        if (!f->dropped && field_is_alike(f->name, name) && !slice_ieq(f->name, name))
            return true;
    return false;
}

unsigned fields_drop_aliases(struct fields *fs, unsigned count)
{
    unsigned dropped = 0;
    for (unsigned i = 0; i < count; i++) {
        struct field *f = &fs->v[i];
        if (f->id != FIELD_OTHER || f->dropped || slice_find(f->name, '_') == f->name.n)
            continue;
        f->dropped = is_reserved(f->name) || passes_for_another(fs, count, f->name);
        dropped += f->dropped;
    }
    return dropped;
}
