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

/* By extension; of the same one, in the order of the list that the pointers are into. */
static int order_in_list(const void *a, const void *b)
{
    const struct type *x = *(const struct type *const *)a, *y = *(const struct type *const *)b;
    int by_extension = order(x, y);
    return by_extension ? by_extension : (x > y) - (x < y);
}

void types_build(struct types *t, const struct type *given, uint32_t count, struct slice charset,
                 struct arena *a)
{
    uint32_t all_count = BUILT_IN + count;
    struct type *all = arena_alloc(a, all_count * sizeof(*all));
    const struct type **sorted = arena_alloc(a, all_count * sizeof(*sorted));
    for (uint32_t i = 0; i < all_count; i++) {
        all[i] = i < BUILT_IN ? built_in[i] : given[i - BUILT_IN];
        sorted[i] = &all[i];
    }
    qsort(sorted, all_count, sizeof(*sorted), order_in_list);
    t->v = arena_alloc(a, all_count * sizeof(*t->v));
    t->n = 0;
    for (uint32_t i = 0; i < all_count; i++) {
        if (i + 1 < all_count && order(sorted[i], sorted[i + 1]) == 0)
            continue; /* another one comes */
        t->v[t->n] = *sorted[i];
        t->v[t->n].value = with_charset(sorted[i]->value, charset, a);
        t->n++;
    }
    t->otherwise = with_charset(t->otherwise, charset, a);
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
