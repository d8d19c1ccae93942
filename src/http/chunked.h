/* The chunked transfer coding, both ways (RFC 9112 7.1). No I/O, no copy: data comes out as slices
 * of what went in.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"
#include "http/head.h"

enum chunked_state { CHUNKED_LINE, CHUNKED_DATA, CHUNKED_DATA_END, CHUNKED_TRAILERS, CHUNKED_DONE };

struct chunked {
    enum chunked_state state;
    uint32_t ext_bytes; /* chunk extensions seen in this body, bounded */
    uint64_t left;      /* of the current chunk's data */
    size_t scanned;     /* of an incomplete line or trailer section */
};

void chunked_init(struct chunked *c);

/* Takes bytes off the front of *in. PARSE_MORE with data->n > 0: a piece of the body (call again);
 * PARSE_MORE with data->n == 0: *in is used up, or an incomplete line stays at its front, to be
 * presented again with more behind it. PARSE_DONE: the body and the trailer section are complete;
 * *trailers is the trailer section's bytes, incl. its empty line, to be given to trailers_parse
 * (n == 2 when there are none). PARSE_BAD: f says why (400, or 431 for too
 * large trailers; for a response the caller makes it 502). */
enum parse chunked_feed(struct chunked *c, struct slice *in, struct slice *data,
                        struct slice *trailers, const struct head_limits *limits, struct fault *f)
    __attribute__((warn_unused_result));

/* How many bytes of the chunk begun come next, and that n of them went another way. */
uint64_t chunked_plain_left(const struct chunked *c);
void chunked_plain_taken(struct chunked *c, uint64_t n);

/* Writes the line that precedes n bytes of data ("1f4\r\n"); answers its length. */
enum { CHUNKED_LINE_MAX = 18 };
size_t chunked_put_line(char *p, uint64_t n);

#endif
