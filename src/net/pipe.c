/* SPDX-License-Identifier: MIT */
#include "net/pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

void pipe_pool_init(struct pipe_pool *pool)
{
    list_init(&pool->idle);
    pool->count = 0;
}

static void close_pipe(struct pipe *p)
{
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

static bool is_empty(const struct pipe *p)
{
    int waiting = 0;
    return ioctl(p->source.fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

static void give(struct source *source)
{
    struct pipe *p = container_of(source, struct pipe, source);
    if (p->pool->count >= PIPE_KEEP || !is_empty(p)) {
        close_pipe(p);
        return;
    }
    list_push(&p->pool->idle, &p->node);
    p->pool->count++;
}

static struct pipe *open_pipe(struct pipe_pool *pool)
{
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return NULL;
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES); /* the default size serves, too */
    struct pipe *p = mem_zalloc(sizeof(*p));
    p->source.fd = fds[0];
    p->source.free = give;
    p->write_fd = fds[1];
    p->pool = pool;
    list_init(&p->node);
    return p;
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
