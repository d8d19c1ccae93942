/* One line of the chunked coding (RFC 9112 7.1), read by re2c.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CHUNK_LINE_H
#define HTTP_CHUNK_LINE_H

#include <stdint.h>

#include "base/fault.h"
#include "base/slice.h"

struct chunk_line {
    uint64_t size;
    size_t ext_bytes; /* of the extensions, which are read over */
};

/* line: includes its LF, and no other. */
enum parse chunk_line_parse(struct slice line, struct chunk_line *out, struct fault *f)
    __attribute__((warn_unused_result));

#endif
