/* CGI (RFC 3875) over a stream that is the standard input and output of a program: the request's
 * body goes in as it is, the response ends with the stream. The row of codecs.def is
 * cgi_back_codec. SPDX-License-Identifier: MIT */
#ifndef CODEC_CGI_H
#define CODEC_CGI_H

#include "codec/cgi_response.h"

/* The program's environment, for execve: NULL-terminated, in the arena. */
char **cgi_environ(const struct codec_request *request, struct arena *a);

/* What SCGI does in the same way: one response, until the connection closes. */
struct cgi_back {
    struct cgi_reader reader;
    uint64_t left; /* of the request's body */
};

void cgi_back_init(struct cgi_back *b, const struct codec_request *request);
void cgi_back_put_body(void *state, struct chain *body, struct chain *out);
void cgi_back_put_end(void *state, const struct fields *trailers, struct chain *out);
enum codec_event cgi_back_feed(void *state, struct slice *in, const struct head_limits *limits,
                               struct arena *a, struct codec_result *result);
enum codec_event cgi_back_eof(void *state, struct codec_result *result);
uint64_t cgi_back_plain_left(const void *state);
void cgi_back_plain_taken(void *state, uint64_t n);
bool cgi_back_is_plain_out(const void *state);
bool cgi_back_is_reusable(const void *state);

#endif
