/* A codec translates between the bytes of a protocol and the messages of an exchange. It is a pure
 * function with state: no I/O, no pool, no clock, no allocation but in the exchange's arena.
 *
 * Bytes come in as a slice that the codec takes from the front; what it reports are events. Bodies
 * go out from one chain into another. A codec of the backend side is one row of codecs.def; the
 * core knows none by name. SPDX-License-Identifier: MIT */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chain.h"
#include "base/fault.h"
#include "http/framing.h"
#include "http/head.h"

enum codec_event {
    CODEC_MORE, /* nothing until more bytes come */
    CODEC_HEAD, /* a head is complete: result.response (or the request asked for) */
    CODEC_DATA, /* result.data: a piece of the body, inside the bytes given */
    CODEC_END,  /* the message is complete: result.trailers */
    CODEC_BAD,  /* result.fault: the peer broke the protocol; nothing behind is to be trusted */
    CODEC_LOG,  /* result.data: text for the error log (STDERR of an application), maybe many lines
                 */
    CODEC_REFUSED, /* result.fault: the backend has not executed the request; another may */
};

struct codec_result {
    struct response_head *response; /* where CODEC_HEAD puts it; given by the caller */
    struct framing framing;         /* of the body behind the head */
    struct slice data;
    struct fields trailers;
    struct fault fault;
};

/* A variable from the configuration; stands in for one of ours of the same name. */
struct cgi_param {
    struct slice name, value;
};

enum cgi_role { CGI_RESPONDER, CGI_AUTHORIZER }; /* FastCGI 6.2, 6.3 */

/* What CGI variables are made of besides the request (RFC 3875 4.1): for codecs with wants_cgi.
 * Nothing in it holds a NUL. Empty slices and zero ports: not known, and the variable is left out.
 */
struct cgi_info {
    enum cgi_role role;
    struct slice path;            /* normalised: DOCUMENT_URI */
    struct slice script_name;     /* the front part of path that names the script; may be empty */
    struct slice path_info;       /* and what is behind it */
    struct slice document_root;   /* without '/' at its end */
    struct slice script_filename; /* empty: document_root and script_name */
    struct slice server_name;     /* without port and brackets */
    struct slice server_addr, client_addr;
    uint16_t server_port, client_port;
    bool https;
    struct slice auth_type, auth_user;
    const struct cgi_param *params;
    uint32_t param_count;
};

/* The request as it goes to a backend: head after forward.c has had its way with it. */
struct codec_request {
    const struct request_head *head;
    struct framing framing;
    struct slice target;        /* origin-form, or "*" */
    struct slice asked;         /* the same before any rewriting: REQUEST_URI; empty: target */
    struct slice host;          /* for the Host field; fields of that name are not sent */
    struct slice upgrade;       /* protocol the client wants to switch to, or empty */
    const struct cgi_info *cgi; /* NULL unless the codec wants_cgi */
    bool keep;                  /* the connection would be kept for another request */
};

/* The backend side of a protocol. state: state_bytes of zeroed memory that live as long as the
 * connection. */
struct back_codec {
    const char *name;
    uint16_t default_port; /* 0: a port must be given */
    size_t state_bytes;
    /* A connection occupies a process of the application, of which there are few: a slow client
     * must not hold one, nor a connection that is kept. Decides defaults: see pool_conf.h. */
    bool holds_process;
    bool wants_cgi;    /* codec_request.cgi must be there */
    bool needs_length; /* a request body must be of known length: no BODY_CHUNKED */
    bool finishes;     /* the request's end is told by shutting down our side of the connection */

    /* Whether this request can be said in the protocol at all; asked once, before a backend is
     * picked. NULL: every request can. PARSE_DONE or PARSE_BAD. */
    enum parse (*check)(const struct fields *fields, struct fault *f);

    /* Writes the head of a request and gets ready to read its response. Requests of one connection
     * follow each other. */
    void (*begin)(void *state, const struct codec_request *request, struct chain *out);
    /* Encodes everything in body. */
    void (*put_body)(void *state, struct chain *body, struct chain *out);
    void (*put_end)(void *state, const struct fields *trailers, struct chain *out);

    enum codec_event (*feed)(void *state, struct slice *in, const struct head_limits *limits,
                             struct arena *a, struct codec_result *result);
    /* The backend has closed its side, and *in was used up or is all there is: CODEC_END,
     * CODEC_BAD or CODEC_REFUSED. */
    enum codec_event (*eof)(void *state, struct codec_result *result);

    /* How many of the bytes that come next are body and nothing else, so that they need not be
     * looked at; and that n of them went another way. */
    uint64_t (*plain_left)(const void *state);
    void (*plain_taken)(void *state, uint64_t n);
    /* The same for the request body that goes out: whether put_body takes pieces of any size as
     * they are, at most with something around them, so that they may be pipes. */
    bool (*is_plain_out)(const void *state);

    /* Whether another request may follow on this connection. */
    bool (*is_reusable)(const void *state);
};

/* NULL if there is none of this name. */
const struct back_codec *codec_find(struct slice name);
/* The i-th, NULL behind the last: for listing. */
const struct back_codec *codec_at(size_t i);

#endif
