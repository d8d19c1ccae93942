/* HTTP/1.1 (RFC 9112), both sides: one reader and one writer of messages, used towards clients and
 * towards backends. The row for backends is h1_back_codec; the front is core/client_h1.c's.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H1_H
#define CODEC_H1_H

#include "codec/codec.h"
#include "http/chunked.h"

/* Reads messages off one direction of a connection, one after the other. */
struct h1_reader {
    enum { H1_HEAD, H1_BODY, H1_END } at : 8;
    enum body_kind kind : 8;
    bool skipped;     /* the empty line that may come before a request */
    uint8_t interims; /* before the response */
    union {
        size_t scanned;         /* H1_HEAD: of an incomplete one */
        uint64_t left;          /* BODY_LENGTH: bytes to come */
        struct chunked chunked; /* BODY_CHUNKED */
    };
};

/* Writes one message's body. */
struct h1_writer {
    enum body_kind kind;
    uint64_t left; /* BODY_LENGTH: bytes that are still promised */
};

void h1_reader_init(struct h1_reader *r); /* a head comes next */

/* A request head: CODEC_HEAD with *out and result->framing, CODEC_MORE or CODEC_BAD. One empty line
 * before it is skipped (RFC 9112 2.2). The body is read with h1_read_body. */
enum codec_event h1_read_request(struct h1_reader *r, struct slice *in,
                                 const struct head_limits *limits, struct arena *a,
                                 struct request_head *out, struct codec_result *result);
/* A response head; method is the request's. */
enum codec_event h1_read_response(struct h1_reader *r, struct slice *in, enum method method,
                                  const struct head_limits *limits, struct arena *a,
                                  struct codec_result *result);
/* CODEC_DATA, CODEC_END, CODEC_MORE or CODEC_BAD. */
enum codec_event h1_read_body(struct h1_reader *r, struct slice *in,
                              const struct head_limits *limits, struct arena *a,
                              struct codec_result *result);
/* The peer will send nothing more. */
enum codec_event h1_read_eof(struct h1_reader *r, struct codec_result *result);
uint64_t h1_plain_left(const struct h1_reader *r);
void h1_plain_taken(struct h1_reader *r, uint64_t n);

/* What stands in a response head besides the fields of the response. */
struct h1_response {
    const struct response_head *head;
    struct framing framing; /* as it goes out; BODY_CLOSE for a client without chunked */
    struct slice date;      /* IMF-fixdate, if the response has no Date */
    bool close;             /* the connection ends behind this response */
    bool keep_alive;        /* say so to a client of HTTP/1.0 */
    struct slice upgrade;   /* 101: the protocol */
};

void h1_put_request(struct h1_writer *w, const struct codec_request *request, struct chain *out);
void h1_put_response(struct h1_writer *w, const struct h1_response *response, struct chain *out);
/* 100 Continue and other interim responses. */
void h1_put_interim(const struct response_head *head, struct chain *out);
/* Encodes body into out, all of it; a body longer than promised is cut there. */
void h1_put_body(struct h1_writer *w, struct chain *body, struct chain *out);
/* False: fewer bytes than promised were written, so the message is broken. */
bool h1_put_end(struct h1_writer *w, const struct fields *trailers, struct chain *out);

#endif
