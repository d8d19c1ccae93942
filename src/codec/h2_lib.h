/* What both ends of HTTP/2 need around nghttp2: its memory and options, fields as it wants them,
 * bodies that have come, what it has said of an error.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_LIB_H
#define CODEC_H2_LIB_H

#include <nghttp2/nghttp2.h>

#include "base/chain.h"
#include "http/field.h"

enum {
    H2_SEND_BLOCK_MAX = 1 << 20, /* bytes of a field section we send, before compression */
    H2_WINDOWS = 16,             /* of streams in the connection's: it never holds one up */
    H2_REFER_MAX = 256 * 1024, /* beyond, bodies are copied: a reference pins more than it needs */
    H2_FRAME_HEAD = 9,
    H2_ERROR_MAX = 160, /* bytes of a message about the connection */
};

/* Memory that cannot fail. */
extern const nghttp2_mem h2_mem;

static inline struct slice h2_slice(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(rcbuf);
    return slice_of(v.base, v.len);
}

/* nghttp2 copies names and values, names in lower case. */
static inline nghttp2_nv h2_nv(struct slice name, struct slice value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
                        .value = (uint8_t *)(uintptr_t)value.p,
                        .namelen = name.n,
                        .valuelen = value.n};
}

/* How many lines are to be sent: those not dropped and of no flag in without (FIELD_HOP). */
size_t h2_count_fields(const struct fields *fields, unsigned without);
nghttp2_nv *h2_put_fields(nghttp2_nv *nv, const struct fields *fields, unsigned without);

/* Behind the last DATA of a stream: submits trailers, of which there may be none (NULL, too). The
 * flags for that DATA. */
uint32_t h2_put_trailers(nghttp2_session *session, int32_t id, const struct fields *trailers,
                         unsigned without, struct arena *arena);

/* A piece of a body that has come. Small ones are copied anyway; large ones refer to hold (or NULL)
 * unless much waits (held: bytes, on all streams) that others may have sent only to pin it. */
void h2_keep_data(struct chain *in, struct buf *hold, size_t *held, struct slice data);

/* The first that nghttp2 says is why: what it says later follows from it. */
void h2_keep_error(char error[H2_ERROR_MAX], const char *text, size_t n);

/* Windows and closed streams are our affair; acks_max: answers to a peer that does not read them.
 * To be given to nghttp2_option_del(). */
nghttp2_option *h2_options_new(size_t acks_max);

#endif
