/* Conditional requests (RFC 9110 13): whether the client's copy of a representation will do, or its
 * idea of it is out of date.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include <stdint.h>

#include "http/head.h"

/* What is known of the representation that would be sent. */
struct validators {
    struct slice etag;    /* as in an ETag field, quotes and all; empty: there is none */
    int64_t modified_s;   /* since the epoch; MODIFIED_UNKNOWN */
    bool modified_strong; /* it cannot have changed twice in that second (RFC 9110 8.8.2.2) */
};

#define MODIFIED_UNKNOWN INT64_MIN

enum condition {
    CONDITION_MET,          /* answer as if there were none */
    CONDITION_NOT_MODIFIED, /* 304 */
    CONDITION_FAILED,       /* 412 */
};

/* In the order of RFC 9110 13.2.2. A field that does not follow its grammar matches nothing; a date
 * that is none is ignored (13.1.3, 13.1.4). */
enum condition condition_check(const struct fields *fields, enum method method,
                               const struct validators *v);
/* Whether a Range field counts, as far as If-Range goes (13.1.5). */
bool condition_allows_range(const struct fields *fields, const struct validators *v);

/* Whether If-None-Match names this very tag, which is a strong one, or '*': the client has these
 * bytes. */
bool condition_has_strongly(const struct fields *fields, struct slice etag);

/* Whether s is an entity-tag (8.8.3), as an application may have written it. */
bool condition_is_etag(struct slice s);

#endif
