/* Message heads: start line and fields (RFC 9112 2-5), by re2c lexer and Lemon grammar.
 *
 * A head is parsed when it is complete: head_find_end() looks for the empty line, going on where
 * it stopped (so a head that arrives byte by byte costs linear time), and the parse functions then
 * read it once. All slices of the result point into the bytes given, which must outlive it.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"
#include "http/field.h"

enum method {
    METHOD_OTHER,
#define METHOD(id, text, safe, idempotent) METHOD_##id,
#include "http/method.def"
#undef METHOD
};

enum method method_lookup(struct slice text); /* case-sensitive; METHOD_OTHER if unknown */
bool method_is_safe(enum method m);
bool method_is_idempotent(enum method m); /* RFC 9110 9.2.2 */

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct request_head {
    enum method method;
    struct slice method_text;
    enum target_form form;
    struct slice target; /* as received */
    struct slice scheme; /* absolute-form only */
    struct slice
        authority;      /* host[:port] that counts: of the target, else of Host (RFC 9112 3.3) */
    struct slice host;  /* of it, without brackets */
    struct slice path;  /* raw, begins with '/', without query; "*" for asterisk-form and for
                         * OPTIONS in absolute-form without path; none for CONNECT */
    struct slice query; /* raw, without '?' */
    bool has_query;
    uint8_t minor; /* HTTP/1.minor, 0 or 1 (higher minors count as 1) */
    bool is_h2;    /* came over HTTP/2: no less than 1.1, so minor is 1 */
    struct fields fields;
};

struct response_head {
    uint16_t status;
    struct slice reason;
    uint8_t minor;
    bool is_h2; /* came over HTTP/2 */
    struct fields fields;
};

struct head_limits {
    uint32_t head_bytes;   /* whole head; 431 (or 414 when the request line alone is longer) */
    uint32_t target_bytes; /* 414 */
    uint16_t fields;       /* 431 */
};

/* Looks for the empty line that ends a head in bytes, of which the first *scanned have been looked
 * at before (0 at first; updated). A bare LF counts as a line end here so that the parser sees, and
 * refuses, such a head at once. PARSE_DONE: *end is the length including the empty line; an empty
 * line at the very front is a head of its own (a trailer section may be just that), so before a
 * request line the caller takes off one CRLF, and not more (RFC 9112 2.2). PARSE_BAD never. */
enum parse head_find_end(struct slice bytes, size_t *scanned, size_t *end);

/* Refuses a head, complete or not, that is larger than the limits allow: 414 if that much is one
 * request line, else 431. Otherwise PARSE_MORE. For callers that wait for the end of a head. */
enum parse head_check_size(struct slice bytes, const struct head_limits *limits, struct fault *f)
    __attribute__((warn_unused_result));

/* Parses a complete request head, as found by head_find_end. Nothing behind bytes is read: they
 * end in LF, and no rule goes beyond an LF. Checks everything that RFC 9112 and 9110 say of a
 * request head by itself: line ends, method, target, version, field syntax, Host (missing,
 * repeated, invalid), control characters, limits. Framing fields are framing.h's. PARSE_DONE or
 * PARSE_BAD. */
enum parse request_head_parse(struct slice bytes, const struct head_limits *limits, struct arena *a,
                              struct request_head *out, struct fault *f)
    __attribute__((warn_unused_result));

enum response_form {
    RESPONSE_STATUS_LINE, /* HTTP: a status line is required */
    RESPONSE_CGI, /* FastCGI, SCGI, CGI: "Status:" field or none; a status line is taken too */
};

/* The one response-head grammar (RFC 9112 4, RFC 3875 6). For RESPONSE_CGI without a status, the
 * status is 200, or 302 when there is a Location; the Status field itself is dropped, and lines may
 * end with LF alone. Faults have status 502. */
enum parse response_head_parse(struct slice bytes, enum response_form form,
                               const struct head_limits *limits, struct arena *a,
                               struct response_head *out, struct fault *f)
    __attribute__((warn_unused_result));

/* Trailer section (RFC 9112 7.1.2): field lines and the empty line. Content-Length,
 * Transfer-Encoding and Host are refused there, other fields that must not be trailers come back as
 * dropped. Faults have the status for a request; for a response the caller makes it 502. */
enum parse trailers_parse(struct slice bytes, const struct head_limits *limits, struct arena *a,
                          struct fields *out, struct fault *f) __attribute__((warn_unused_result));

#endif
