/* HTTP/2 with a client (RFC 9113): the frames of one connection, over nghttp2, which does no I/O.
 *
 * Bytes go in by h2_feed(); streams with news then come out of h2_next(), one after the other, in
 * the order of what happened. Responses are put to streams, and h2_emit() makes frames of what is
 * due, within the peer's windows and the chain's, taking turns among the streams.
 *
 * Memory is bounded whatever the peer does: streams by their number, a request's body by the
 * window, which is opened again only by h2_take(); heads by the limits; and for the rest there are
 * h2_abuse.def's.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_H
#define CODEC_H2_H

#include "base/chain.h"
#include "base/list.h"
#include "codec/h2_head.h"

enum h2_abuse {
#define ABUSE(id, key, init, max, what, help) H2_ABUSE_##id,
#include "codec/h2_abuse.def"
#undef ABUSE
    H2_ABUSES,
    H2_ABUSE_NONE = H2_ABUSES,
};

enum { H2_ABUSE_MS = 10000 };

/* The preface a client begins with (RFC 9113 3.4). PARSE_MORE: these bytes may become one. */
enum parse h2_is_preface(struct slice in);

struct h2_conf {
    uint32_t streams; /* at a time */
    uint32_t window;  /* bytes of one request's body that may wait */
    struct head_limits limits;
    uint32_t abuse[H2_ABUSES];
    void (*random)(unsigned char *p, size_t n);
};

/* What has happened to a stream since h2_next() last gave it. */
enum h2_news {
    H2_REQUEST = 1, /* its head is complete: head, framing, or fault */
    H2_BODY = 2,    /* there is something to be had from h2_take(), or the end */
    H2_ROOM = 4,    /* some of the response's body has gone out */
    H2_GONE = 8,    /* it was closed by the peer, or for an error of the peer */
};

/* One lane; from the head of a request to h2_release() by its owner. */
struct h2_stream {
    struct h2 *session;
    void *owner; /* set by who takes the request */
    int32_t id;
    unsigned news;     /* of enum h2_news */
    uint64_t begin_us; /* of the request's head */
    uint32_t error;    /* H2_GONE: the error code */

    struct arena own;    /* of the head, until it is taken over together with it */
    struct arena *arena; /* for trailers */
    struct request_head head;
    struct framing framing;
    struct fault fault; /* status not 0: the head, or the trailers, must be refused */
    struct fields trailers;
    bool is_websocket; /* what looks like an Upgrade is an extended CONNECT */
    bool ended;        /* the client has sent all of it */
    bool closed;       /* no frame can be sent on it any more */
    bool passed;       /* the response has gone out to its end */
    bool responded;    /* h2_put_response() was called */
    bool complete;     /* the owner's: nothing will be added to body any more */
    bool deferred, is_released;
    struct chain in;
    struct chain *body;                 /* of the response; the owner's */
    const struct fields *resp_trailers; /* the same */
    uint64_t sent_bytes;                /* of body */
    uint64_t released_us;               /* when, if the client has not ended its request */
    struct list node;
    struct list news_node; /* among those with news or, when released, with a rest */
};

struct h2 *h2_new(const struct h2_conf *conf, struct buf_pool *bufs);
/* Streams with an owner must have been released. */
void h2_free(struct h2 *h);

/* All of the bytes, which lie in hold, are taken. */
void h2_feed(struct h2 *h, struct slice in, struct buf *hold, uint64_t now_us);
/* The next stream with news, which *news is set to; NULL: none. One with H2_REQUEST must get an
 * owner, who takes its arena over (x->arena = s->own, s->arena = &x->arena). */
struct h2_stream *h2_next(struct h2 *h, unsigned *news);
/* Puts frames into out until that is full or there are none. While for is not NULL, what goes out
 * of its body is no news. */
void h2_emit(struct h2 *h, struct chain *out, const struct h2_stream *for_stream);

/* Any stream that has an owner, or NULL. */
struct h2_stream *h2_any(struct h2 *h);
struct h2_stream *h2_stream_after(struct h2 *h, const struct h2_stream *s); /* NULL: the first */
bool h2_is_idle(const struct h2 *h);    /* no stream, and no head under way */
bool h2_is_in_head(const struct h2 *h); /* a field section has begun and not ended */
/* Nothing more can come of this connection but what waits in the out chain. */
bool h2_is_over(struct h2 *h);
/* The peer takes too long: ends the connection. */
void h2_give_up(struct h2 *h);
/* A stream has waited for a window until its time was over. */
void h2_note_stall(struct h2 *h, uint64_t now_us);
enum h2_abuse h2_abuse_found(const struct h2 *h);
const char *h2_abuse_text(enum h2_abuse abuse);
/* Why the session ended, for the log; NULL: no error. */
const char *h2_error_text(const struct h2 *h);

/* Ends the connection. Gracefully: the client is told, and after h2_goodbye() no new stream is
 * taken; those there are go on. RFC 9113 6.8: two steps, with a PING between them, so that no
 * request on its way is lost. */
void h2_notice(struct h2 *h);
bool h2_notice_arrived(const struct h2 *h);
void h2_goodbye(struct h2 *h);

/* Moves up to max bytes of the request's body to the end of dst, and lets the client send as many
 * again. Answers their number. */
size_t h2_take(struct h2_stream *s, struct chain *dst, size_t max);

void h2_put_interim(struct h2_stream *s, const struct response_head *head);
/* has_body: body may hold something now or later; then h2_resume() follows each addition, and the
 * response ends when complete is set and body is empty. date: empty, or to be added. */
void h2_put_response(struct h2_stream *s, const struct response_head *head, struct slice date,
                     struct chain *body, bool has_body);
void h2_resume(struct h2_stream *s);
/* H2_GONE: for the log. */
const char *h2_gone_text(const struct h2_stream *s);
/* Whether the peer's windows keep the stream from sending. */
bool h2_is_held(const struct h2_stream *s);

enum h2_end {
    H2_DONE,      /* the response was passed, or there is nobody to have it */
    H2_BROKEN,    /* it must be seen as broken off */
    H2_CANCELLED, /* there is none */
};
/* The owner goes; the stream may go too. If the request has not come to its end, what is left of it
 * is read away. */
void h2_release(struct h2_stream *s, enum h2_end end, uint64_t now_us);
/* Whether there are such streams. */
bool h2_has_rests(const struct h2 *h);
/* Resets those that were released then or before. Answers when the next one was; 0: there is none.
 */
uint64_t h2_reset_rests(struct h2 *h, uint64_t before_us);

#endif
