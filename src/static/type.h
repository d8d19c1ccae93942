/* Media types by the extensions of file names.
 * SPDX-License-Identifier: MIT */
#ifndef STATIC_TYPE_H
#define STATIC_TYPE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct type {
    struct slice extension; /* lower case, without the dot */
    struct slice value;     /* for Content-Type */
};

struct types {
    struct type *v; /* in the order of the bytes of their extensions */
    uint32_t n;
    struct slice otherwise; /* for other names; empty: no Content-Type */
};

/* The built-in ones and those given, which count instead, the last of each extension; text has this
 * charset added (empty: no charset) unless it has one. */
void types_build(struct types *t, const struct type *given, uint32_t count, struct slice charset,
                 struct arena *a);
/* By the last extension of the path's last name, whatever its case. */
struct slice types_find(const struct types *t, struct slice path);

#endif
