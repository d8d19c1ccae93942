/* FastCGI 1.0 towards backends. The row of codecs.def is fcgi_back_codec.
 *
 * A connection carries one request at a time; the state keeps what belongs to the request apart
 * from what belongs to the connection, as multiplexing needs. Request ids alternate, so that a
 * late record of the request before cannot pass for one of ours.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_FCGI_H
#define CODEC_FCGI_H

#include "codec/codec.h"

/* What an application says of itself (FastCGI 4.1); 0: it did not say. */
struct fcgi_values {
    uint32_t max_conns, max_requests;
    bool multiplexes;
};

/* Asks, on a connection without a request. The answer is one record; applications that know
 * nothing of it close the connection or do not answer at all. */
void fcgi_put_get_values(struct chain *out);
/* PARSE_DONE: the record was taken off *in. */
enum parse fcgi_read_values(struct slice *in, struct fcgi_values *out, struct fault *f)
    __attribute__((warn_unused_result));

/* Takes a name-value pair (FastCGI 3.4) off the front of *pairs; false if there is no whole one. */
bool fcgi_next_pair(struct slice *pairs, struct slice *name, struct slice *value);

/* A field "Variable-NAME: value" of an authorizer's answer (FastCGI 6.3): *name. */
bool fcgi_is_variable(const struct field *field, struct slice *name);

#endif
