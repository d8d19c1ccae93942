/* Decides how long a body is, and nothing else does (RFC 9112 6.3).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FRAMING_H
#define HTTP_FRAMING_H

#include "base/fault.h"
#include "http/head.h"

enum body_kind {
    BODY_NONE,    /* no body at all */
    BODY_LENGTH,  /* exactly `length` bytes (may be 0) */
    BODY_CHUNKED, /* chunked coding, then trailers */
    BODY_CLOSE,   /* until the connection is closed (responses only) */
    BODY_TUNNEL,  /* no longer HTTP: 101, or 2xx to CONNECT */
};

struct framing {
    enum body_kind kind;
    uint64_t length;
};

/* Content-Length: one value of digits only; repeated, lists, with Transfer-Encoding: 400, to be
 * closed. Transfer-Encoding: exactly "chunked" once (501 for other codings, 400 for repetition or
 * for chunked not last); with HTTP/1.0: 400. */
enum parse framing_of_request(const struct request_head *head, struct framing *out, struct fault *f)
    __attribute__((warn_unused_result));
/* method: of the request that is answered (HEAD, CONNECT). Faults have status 502. */
enum parse framing_of_response(const struct response_head *head, enum method method,
                               struct framing *out, struct fault *f)
    __attribute__((warn_unused_result));

#endif
