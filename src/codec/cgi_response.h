/* Responses in the form that FastCGI, SCGI and CGI share (RFC 3875 6): a head of fields with a
 * Status among them or none, then the body. What carries the bytes and says where they end is the
 * protocol's.
 *
 * A Transfer-Encoding field frames nothing here and is dropped, as programs copy it from responses
 * they fetched themselves.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_CGI_RESPONSE_H
#define CODEC_CGI_RESPONSE_H

#include "codec/codec.h"

/* Zeroed is not ready: cgi_reader_init() for each response. */
struct cgi_reader {
    enum { CGI_AT_HEAD, CGI_AT_BODY, CGI_AT_END } at;
    enum method method; /* of the request */
    struct framing framing;
    uint64_t left; /* BODY_LENGTH: bytes to come */
    char *held;    /* the beginning of a head that comes in pieces; in the exchange's arena */
    size_t held_n, held_cap, scanned;
    uint32_t interims;
};

void cgi_reader_init(struct cgi_reader *r, enum method method);

/* CODEC_HEAD, CODEC_DATA, CODEC_MORE (all of *in was taken) or CODEC_BAD; CODEC_END when the body
 * is complete by its length or has none, with what is behind it left in *in. An interim head
 * (1xx) is followed by another. */
enum codec_event cgi_read(struct cgi_reader *r, struct slice *in, const struct head_limits *limits,
                          struct arena *a, struct codec_result *result);
/* The protocol says that this was all: CODEC_END or CODEC_BAD. */
enum codec_event cgi_read_end(struct cgi_reader *r, struct codec_result *result);

static inline uint64_t cgi_plain_left(const struct cgi_reader *r)
{
    if (r->at != CGI_AT_BODY)
        return 0;
    return r->framing.kind == BODY_LENGTH ? r->left : UINT64_MAX;
}
void cgi_plain_taken(struct cgi_reader *r, uint64_t n);

/* CODEC_BAD with a fault of status 502. */
enum codec_event cgi_bad(struct codec_result *result, const char *what, const char *rule);

/* A response without status and body whose only field is a Location that is a path: the gateway is
 * to answer as if that had been asked for (RFC 3875 6.2.2). PHP and others never mean it: they
 * always send a Status. Asked when the body has turned out to be empty. */
bool cgi_is_local_redirect(const struct response_head *head, struct slice *location);

#endif
