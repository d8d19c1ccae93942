/* Forwarded (RFC 7239): who a request came through, as proxies say it.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include <stdbool.h>

#include "base/slice.h"

enum { FORWARDED_MAX = 32 };

/* The `for` of each element of one line, in their order, without quotes; empty where an element has
 * none. Of more than FORWARDED_MAX the last. */
struct forwarded {
    unsigned n;
    struct slice v[FORWARDED_MAX];
};

/* False: the line does not follow the grammar. */
bool forwarded_parse(struct slice value, struct forwarded *out);

#endif
