/* Byte ranges (RFC 9110 14): what a Range field asks of a representation of known length.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdint.h>

#include "base/slice.h"

enum { RANGES_MAX = 16 }; /* a request for more is answered with the whole */

enum range_verdict {
    RANGE_IGNORE,        /* answer as if there were no Range field (200) */
    RANGE_SATISFIABLE,   /* 206 with these ranges */
    RANGE_UNSATISFIABLE, /* 416, naming the length in Content-Range */
};

struct range {
    uint64_t first, last; /* positions, both included; last < length of the representation */
};

struct ranges {
    unsigned n;
    struct range v[RANGES_MAX]; /* in the order asked for, without those beyond the end */
};

/* value: of the Range field. Ignored are other units than bytes, what does not follow the grammar,
 * more than RANGES_MAX ranges, and ranges that add up to more than the representation, which only
 * serve to make us send much (RFC 9110 14.2). Numbers too large for 64 bits mean "very far". */
enum range_verdict range_parse(struct slice value, uint64_t length, struct ranges *out)
    __attribute__((warn_unused_result));

#endif
