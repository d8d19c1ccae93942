/* SPDX-License-Identifier: MIT */
#include "pool/wish.h"

#include <stdlib.h>

#include "base/mem.h"

void wishes_fini(struct wishes *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        wish_forget_removed(&w->v[i]);
        free(w->v[i].text);
    }
    free(w->v);
}

void wish_forget_removed(struct wish *w)
{
    if (w->removed)
        backend_unref(w->removed);
    w->removed = NULL;
}

struct wish *wishes_find(const struct wishes *w, struct slice text)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (slice_eq(slice_str(w->v[i].text), text))
            return &w->v[i];
    return NULL;
}

struct wish *wishes_get(struct wishes *w, struct slice text)
{
    struct wish *found = wishes_find(w, text);
    if (found)
        return found;
    w->v = mem_grow(w->v, w->count + 1, sizeof(*w->v));
    w->v[w->count] = (struct wish){.text = mem_dup(text.p, text.n), .mode = BACKEND_UP};
    return &w->v[w->count++];
}

void wishes_tidy(struct wishes *w)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        bool is_empty = !w->v[i].removed && w->v[i].mode == BACKEND_UP && !w->v[i].weight;
        if (is_empty)
            free(w->v[i].text);
        else
            w->v[kept++] = w->v[i];
    }
    w->count = kept;
}
