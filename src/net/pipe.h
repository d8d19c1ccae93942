/* Pipes that large bodies pass through by splice, kept for reuse.
 * SPDX-License-Identifier: MIT */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include <stdint.h>

#include "base/chain.h"
#include "base/list.h"

struct pipe {
    struct source source; /* source.fd is the reading end */
    int write_fd;
    size_t bytes; /* it holds at most */
    struct pipe_pool *pool;
    struct list node;
};

struct pipe_pool {
    struct list idle;
    uint32_t count;
};

enum {
    PIPE_BYTES_MIN = 64 * 1024,
    PIPE_BYTES = 256 * 1024,
    PIPE_BYTES_GROWN = 1024 * 1024,
    PIPES_GROWN_MAX = 32, /* in all workers */
    PIPE_KEEP = 64,       /* idle ones, each worker */
};

void pipe_pool_init(struct pipe_pool *pool);
void pipe_pool_fini(struct pipe_pool *pool);
/* An empty pipe with one reference, to be dropped with source_unref; NULL when descriptors are
 * short (the caller copies instead). A pipe that is not empty when its last reference goes is
 * closed: its bytes belong to nobody. */
struct pipe *pipe_take(struct pipe_pool *pool);
/* Makes it PIPE_BYTES_GROWN large, if there are not many such already: for a body whose receiver
 * keeps up. */
void pipe_grow(struct pipe *p);

#endif
