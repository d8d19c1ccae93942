/* SPDX-License-Identifier: MIT */
#include "static/type.h"

#include <stdlib.h>

enum { EXTENSION_MAX = 16 };

static const struct type built_in[] = {
#define TYPE(extension, value) {SLICE_INIT(extension), SLICE_INIT(value)},
#include "static/type.def"
#undef TYPE
};

enum { BUILT_IN = sizeof(built_in) / sizeof(built_in[0]) };

static int order(const void *a, const void *b)
{
    const struct slice *x = &((const struct type *)a)->extension;
    const struct slice *y = &((const struct type *)b)->extension;
    int by_bytes = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return by_bytes ? by_bytes : (x->n > y->n) - (x->n < y->n);
}

static const struct type *find(const struct type *v, uint32_t n, struct slice extension)
{
    const struct type wanted = {.extension = extension};
    return n ? bsearch(&wanted, v, n, sizeof(*v), order) : NULL;
}

static struct slice with_charset(struct slice value, struct slice charset, struct arena *a)
{
    bool is_text = slice_ieq(slice_first(value, 5), SLICE("text/"));
    if (!is_text || !charset.n || slice_find(value, ';') < value.n)
        return value;
    return arena_printf(a, SLICE_FMT "; charset=" SLICE_FMT, SLICE_ARG(value), SLICE_ARG(charset));
}

static bool is_given(const struct type *given, uint32_t count, struct slice extension)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(given[i].extension, extension))
            return true;
    return false;
}

void types_build(struct types *t, const struct type *given, uint32_t count, struct slice charset,
                 struct arena *a)
{
    t->v = arena_alloc(a, (BUILT_IN + count) * sizeof(*t->v));
    t->n = 0;
    for (uint32_t i = 0; i < BUILT_IN; i++)
        if (!is_given(given, count, built_in[i].extension))
            t->v[t->n++] = built_in[i];
    for (uint32_t i = 0; i < count; i++)
        if (!is_given(given + i + 1, count - i - 1, given[i].extension))
            t->v[t->n++] = given[i];
    for (uint32_t i = 0; i < t->n; i++)
        t->v[i].value = with_charset(t->v[i].value, charset, a);
    t->otherwise = with_charset(t->otherwise, charset, a);
    qsort(t->v, t->n, sizeof(*t->v), order);
}

/* Behind the last dot; a name that only begins with one has none. */
static struct slice extension_of(struct slice path)
{
    for (size_t i = path.n; i-- > 1 && path.p[i] != '/';)
        if (path.p[i] == '.')
            return path.p[i - 1] == '/' ? SLICE_NONE : slice_skip(path, i + 1);
    return SLICE_NONE;
}

struct slice types_find(const struct types *t, struct slice path)
{
    char lower[EXTENSION_MAX];
    struct slice extension = extension_of(path);
    if (extension.n == 0 || extension.n > EXTENSION_MAX)
        return t->otherwise;
    for (size_t i = 0; i < extension.n; i++) {
        char c = extension.p[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    const struct type *found = find(t->v, t->n, slice_of(lower, extension.n));
    return found ? found->value : t->otherwise;
}
