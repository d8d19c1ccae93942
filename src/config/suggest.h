/* "Did you mean ...?": the nearest of some names, by edit distance.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include "base/slice.h"

struct suggest {
    struct slice word;
    const char *best; /* NULL: nothing near enough */
    unsigned distance;
};

static inline struct suggest suggest_for(struct slice word)
{
    return (struct suggest){.word = word};
}

void suggest_try(struct suggest *s, const char *name);

#endif
