/* What a client's HTTP/2 session keeps while nothing moves: the greater part would be nghttp2's
 * buffer for one frame, 16 KiB. Frames are packed into it and taken out of it within one
 * h2_emit(), and what is left there is of no use to anybody: so all sessions of a worker have the
 * same one, their pool's scratch.
 *
 * That is true of a server's end alone: a client's is born with the preface in the buffer.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_H2_MEMORY_H
#define CODEC_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "base/buf.h"

struct h2_memory {
    struct buf_pool *bufs;
    char *frame;    /* the shared buffer, once the session has asked for it; NULL */
    bool is_making; /* nghttp2 makes the session: what it asks for stays as long as that */
};

/* For the maker of a session; m is part of what owns that. */
nghttp2_mem h2_memory_of(struct h2_memory *m);

#endif
