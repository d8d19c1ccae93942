/* SPDX-License-Identifier: MIT */
#include "coding/coding.h"

#define CODING(id) extern const struct coding id;
#include "coding/codings.def"
#undef CODING

static const struct coding *const codings[] = {
#define CODING(id) &id,
#include "coding/codings.def"
#undef CODING
    NULL,
};

const struct coding *coding_at(unsigned i)
{
    return codings[i];
}

const struct coding *coding_find(struct slice name)
{
    for (unsigned i = 0; codings[i]; i++)
        if (slice_eq(codings[i]->name, name))
            return codings[i];
    return NULL;
}
