/* What the operator wants of addresses: kept by address and not by backend, for a backend goes when
 * a name or a line no longer has it, and may come back. The main thread's. SPDX-License-Identifier:
 * MIT */
#ifndef POOL_WISH_H
#define POOL_WISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "pool/backend.h"

struct wish {
    char *text;              /* the address */
    struct backend *removed; /* of a line, which does not bring it back; a reference. NULL: none */
    enum backend_state mode; /* DRAINING or DISABLED; UP: none is wished for */
    uint32_t weight;         /* 0: none is */
};

struct wishes {
    struct wish *v;
    uint32_t count;
};

void wishes_fini(struct wishes *w);
void wish_forget_removed(struct wish *w);
/* NULL: there is none. */
struct wish *wishes_find(const struct wishes *w, struct slice text);
/* The one there is, or a new one that wishes nothing; until the next call of any of these. */
struct wish *wishes_get(struct wishes *w, struct slice text) __attribute__((returns_nonnull));
/* Forgets those that wish nothing. */
void wishes_tidy(struct wishes *w);

#endif
