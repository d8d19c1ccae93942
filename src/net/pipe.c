/* SPDX-License-Identifier: MIT */
#include "net/pipe.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

/* How many there are of PIPE_BYTES_GROWN, in all workers: what the kernel lets a user have in pipes
 * is for all of them together. */
static atomic_uint grown;

void pipe_pool_init(struct pipe_pool *pool)
{
    list_init(&pool->idle);
    pool->count = 0;
}

static void close_pipe(struct pipe *p)
{
    if (p->bytes >= PIPE_BYTES_GROWN)
        atomic_fetch_sub_explicit(&grown, 1, memory_order_relaxed);
    close(p->source.fd);
    close(p->write_fd);
    free(p);
}

void pipe_pool_fini(struct pipe_pool *pool)
{
    struct list *node;
    while ((node = list_shift(&pool->idle)))
        close_pipe(container_of(node, struct pipe, node));
}

static void give(struct source *source)
{
    struct pipe *p = container_of(source, struct pipe, source);
    if (p->pool->count >= PIPE_KEEP || source->waiting) {
        close_pipe(p);
        return;
    }
    list_push(&p->pool->idle, &p->node);
    p->pool->count++;
}

/* Past what the kernel lets a user have in pipes, new ones are of two pages: worse than none. */
static bool set_size(struct pipe *p)
{
    int bytes = fcntl(p->write_fd, F_SETPIPE_SZ, PIPE_BYTES);
    if (bytes < 0)
        bytes = fcntl(p->write_fd, F_GETPIPE_SZ);
    p->bytes = bytes > 0 ? (size_t)bytes : 0;
    return p->bytes >= PIPE_BYTES_MIN;
}

static struct pipe *open_pipe(struct pipe_pool *pool)
{
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return NULL;
    struct pipe *p = mem_zalloc(sizeof(*p));
    p->source.fd = fds[0];
    p->source.free = give;
    p->write_fd = fds[1];
    p->pool = pool;
    list_init(&p->node);
    if (set_size(p))
        return p;
    close_pipe(p);
    return NULL;
}

struct pipe *pipe_take(struct pipe_pool *pool)
{
    struct list *node = list_shift(&pool->idle);
    if (node)
        pool->count--;
    struct pipe *p = node ? container_of(node, struct pipe, node) : open_pipe(pool);
    if (p)
        p->source.refs = 1;
    return p;
}

void pipe_grow(struct pipe *p)
{
    if (p->bytes >= PIPE_BYTES_GROWN)
        return;
    if (atomic_fetch_add_explicit(&grown, 1, memory_order_relaxed) < PIPES_GROWN_MAX) {
        int bytes = fcntl(p->write_fd, F_SETPIPE_SZ, PIPE_BYTES_GROWN);
        if (bytes >= PIPE_BYTES_GROWN) {
            p->bytes = (size_t)bytes;
            return;
        }
    }
    atomic_fetch_sub_explicit(&grown, 1, memory_order_relaxed);
}
