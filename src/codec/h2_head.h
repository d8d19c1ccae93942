/* Field sections of HTTP/2 (RFC 9113 8.2, 8.3): pseudo-fields and fields, one after the other as
 * they are decoded, become the head that HTTP/1.1 would have given, so that nothing behind knows.
 *
 * nghttp2 has refused what is malformed by itself: upper case, invalid characters, repeated or
 * late pseudo-fields, fields of the connection. What is left is what they mean together.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_HEAD_H
#define CODEC_H2_HEAD_H

#include "http/framing.h"
#include "http/head.h"

/* A section under way. Bytes are copied into the arena. */
struct h2_section {
    struct arena *arena;
    const struct head_limits *limits;
    struct fields *fields;
    struct request_head *head; /* NULL: trailers, or of a response */
    bool is_trailers;
    struct slice status, method, scheme, authority, path, protocol;
    uint32_t bytes;     /* names and values, as decoded */
    bool has_priority;  /* RFC 9218: the client says what it wants */
    struct fault fault; /* status 0: fine so far; else what follows is not kept */
};

/* Takes pseudo-fields and fields. */
void h2_section_add(struct h2_section *s, struct slice name, struct slice value);
/* The request's section is complete; is_end: no body follows. PARSE_DONE: *s->head and *framing;
 * *is_websocket: an extended CONNECT (RFC 8441) that has become the Upgrade it means, with a key
 * made of `random`. PARSE_BAD: s->fault. */
enum parse h2_section_end(struct h2_section *s, bool is_end, const unsigned char random[16],
                          struct framing *framing, bool *is_websocket)
    __attribute__((warn_unused_result));

#endif
