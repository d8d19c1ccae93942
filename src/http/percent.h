/* Percent-encoding (RFC 3986 2.1): of text that becomes a part of a URL and must not mean anything
 * in it. SPDX-License-Identifier: MIT */
#ifndef HTTP_PERCENT_H
#define HTTP_PERCENT_H

#include "base/arena.h"
#include "base/slice.h"

enum percent_part {
    PERCENT_PATH,  /* of several segments: '/' stays */
    PERCENT_QUERY, /* a name or a value in a query */
};

size_t percent_length(struct slice s, enum percent_part part);
/* Writes percent_length() bytes; answers what is behind. */
char *percent_put(char *p, struct slice s, enum percent_part part);
/* s itself if nothing of it has to be encoded, else a copy. */
struct slice percent_encode(struct slice s, enum percent_part part, struct arena *a);

#endif
