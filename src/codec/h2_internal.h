/* What the files of the HTTP/2 session share. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_INTERNAL_H
#define CODEC_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "codec/h2.h"
#include "codec/h2_lib.h"
#include "codec/h2_memory.h"

enum { H2_RESETS_KEPT = 32 };

struct h2 {
    nghttp2_session *session;
    struct h2_memory memory;
    struct h2_conf conf;
    struct buf_pool *bufs;
    struct list streams, news; /* of struct h2_stream */
    struct list rests;         /* of those released, in this order, that the client goes on with */
    struct h2_section section; /* the one under way */
    struct h2_stream *reading; /* whose it is; NULL: nobody wants it */
    bool in_head;
    bool is_over;

    struct buf *hold; /* during h2_feed() */
    uint64_t now_us;
    size_t held_bytes; /* in all streams' in */

    struct chain *out; /* during h2_emit() */
    const struct h2_stream *sending;

    uint32_t last_id;    /* of the streams that the peer began */
    uint64_t opened;     /* bit i: the stream 2i before was begun */
    uint32_t *reset_ids; /* of H2_RESETS_KEPT, the newest that we have reset; NULL: none yet */
    uint32_t reset_at, forgotten_id; /* the place of the next; the highest that had to go */
    uint32_t failure; /* error code for the peer, where the library does not see it */

    enum h2_abuse abuse;
    uint32_t counts[H2_ABUSES]; /* since counted_us */
    uint64_t counted_us;
    bool noticed, notice_arrived, said_goodbye, terminated;
    char *error; /* of H2_ERROR_MAX; NULL: none */
};

/* h2_receive.c and h2_send.c: what the library calls. */
void h2_set_receivers(nghttp2_session_callbacks *c);
void h2_set_senders(nghttp2_session_callbacks *c);

/* Counts one more; false: that is too many, and the session must end. */
bool h2_count(struct h2 *h, enum h2_abuse kind);

/* We reset the stream: what the peer sends before it knows is no error (RFC 9113 5.1). */
void h2_note_reset(struct h2 *h, uint32_t id);

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);
void h2_stream_free(struct h2_stream *s);
void h2_add_news(struct h2_stream *s, enum h2_news news);

static inline bool h2_is_rest(const struct h2_stream *s)
{
    return s->is_released && list_is_linked(&s->news_node);
}

static inline struct h2_stream *h2_stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

#endif
