/* A codec translates between the bytes of a protocol and the messages of an exchange. It is a pure
 * function with state: no I/O, no pool, no clock, no allocation but in the exchange's arena.
 *
 * Bytes come in as a slice that the codec takes from the front; what it reports are events. Bodies
 * go out from one chain into another. A codec of the backend side is one row of codecs.def; the
 * core knows none by name. SPDX-License-Identifier: MIT */
#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/chain.h"
#include "base/fault.h"
#include "base/list.h"
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

/* 1xx before a response: each takes memory, and a backend could go on for ever. */
enum { INTERIMS_MAX = 32 };

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
    bool takes_trailers;        /* the client says so (TE) */
};

struct mux;

/* The backend side of a protocol. state: state_bytes of zeroed memory that live as long as the
 * connection; or, of a protocol that shares connections, as the lane. */
struct back_codec {
    const char *name;
    uint16_t default_port;     /* 0: a port must be given */
    const char *name_over_tls; /* NULL: none of its own, and no port */
    uint16_t port_over_tls;
    const char *alpn; /* its name where TLS agrees on it (RFC 7301); NULL: none */
    size_t state_bytes;
    /* A connection occupies a process of the application, of which there are few: a slow client
     * must not hold one, nor a connection that is kept. Decides defaults: see pool_conf.h. */
    bool holds_process;
    bool wants_cgi;    /* codec_request.cgi must be there */
    bool needs_length; /* a request body must be of known length: no BODY_CHUNKED */
    bool finishes;     /* the request's end is told by shutting down our side of the connection */
    bool authorizes;   /* an application can be asked in the role of an authorizer */
    const char *script_end; /* where paths are split if nothing says where: ".php"; NULL: nowhere */

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

    const struct mux *mux; /* several requests share a connection; NULL: they follow each other */
};

/* One exchange's part of a connection that several share. */
struct mux_lane {
    struct chain in;     /* received for it, not decoded yet */
    struct chain out;    /* what put_body and put_end wrote: the connection takes from its front */
    uint64_t sent_bytes; /* taken from out */
    bool is_begun;       /* the connection has sent something of the request */
    void *state;         /* of the codec, state_bytes */
    struct arena *arena; /* the exchange's */
    const struct head_limits *limits;
    struct list news_node;
};

struct mux_conf {
    uint32_t window; /* bytes of one response that may wait */
    uint32_t head_bytes;
    uint32_t unpacked_bytes; /* of a field section; more breaks the connection */
    uint32_t waiting;        /* answers (to PING, SETTINGS) that the peer has not read */
    bool is_secure;          /* the connection is encrypted */
    /* A word kept for the backend, 0 at first: what one connection learns, the next knows. */
    _Atomic uint32_t *memory;
};

/* What a connection does for its lanes, where a protocol has several. The functions of the codec
 * then work on a lane: begin follows join, and what feed of the codec is given comes out of the
 * lane's `in`. state: state_bytes of zeroed memory that live as long as the connection. */
struct mux {
    size_t state_bytes;
    bool is_optional; /* the codec can do without: one request after the other */
    bool has_windows; /* a lane whose bytes nobody takes holds up no other */
    void (*open)(void *state, const struct mux_conf *conf, struct buf_pool *bufs);
    void (*close)(void *state); /* lanes have left */
    void (*join)(void *state, struct mux_lane *lane);
    void (*leave)(void *state, struct mux_lane *lane); /* cancels what is not over */

    /* Hands out what came, which lies in hold; takes all of *in unless a lane is full. */
    void (*feed)(void *state, struct slice *in, struct buf *hold);
    /* The next lane with something new, or NULL. */
    struct mux_lane *(*next)(void *state);
    /* Puts what is due into out, until that is full. */
    void (*emit)(void *state, struct chain *out);

    uint32_t (*lanes)(const void *state);    /* how many the peer takes now; 0: no new ones */
    bool (*is_over)(const void *state);      /* nothing can come of the connection any more */
    const char *(*error)(const void *state); /* why it is over; NULL: the peer broke no rule */
    void (*ping)(void *state);               /* asks for a sign of life; NULL: cannot be asked */
    void (*goodbye)(void *state); /* we are about to close, lanes have left; NULL: nothing to say */
};

/* NULL if there is none of this name. */
const struct back_codec *codec_find(struct slice name);
/* The i-th, NULL behind the last: for listing. */
const struct back_codec *codec_at(size_t i);

#endif
