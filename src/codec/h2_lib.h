/* What both ends of HTTP/2 need around nghttp2: its memory, and fields as it wants them.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_LIB_H
#define CODEC_H2_LIB_H

#include <nghttp2/nghttp2.h>

#include "http/field.h"

enum {
    H2_SEND_BLOCK_MAX = 1 << 20, /* bytes of a field section we send, before compression */
    H2_WINDOWS = 16,             /* of streams in the connection's: it never holds one up */
    H2_REFER_MAX = 256 * 1024, /* beyond, bodies are copied: a reference pins more than it needs */
    H2_FRAME_HEAD = 9,
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

#endif
