/* SPDX-License-Identifier: MIT */
#include "net/duplex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

enum { IOV_COUNT = 16 };

struct duplex {
    struct watch to; /* fd -1: nobody reads */
    struct stream *stream;
    bool is_watched; /* the pipe has been full before */
    struct deferred free;
};

/* ---- reading ---- */

/* What could not be written is a failure of both: without all of its input nothing that the program
 * says is an answer. */
static ssize_t duplex_read(struct stream *s, char *p, size_t n)
{
    if (s->error)
        return s->error;
    ssize_t got = read(s->watch.fd, p, n);
    s->readable = (size_t)got == n || s->hup;
    return got < 0 ? -errno : got;
}

static ssize_t duplex_splice(struct stream *s, int pipe_fd, size_t n)
{
    if (s->error)
        return s->error;
    ssize_t got = splice(s->watch.fd, NULL, pipe_fd, NULL, n, SPLICE_F_NONBLOCK);
    return got < 0 ? -errno : got;
}

/* Its end is no reset, as it is for a socket: what is in the pipe comes first. */
static void on_from(struct watch *w, uint32_t events)
{
    struct stream *s = container_of(w, struct stream, watch);
    s->readable = true;
    s->hup |= (events & (EPOLLHUP | EPOLLERR)) != 0;
    stream_wake(s);
}

/* ---- writing ---- */

static void on_to(struct watch *w, uint32_t events)
{
    struct duplex *d = container_of(w, struct duplex, to);
    (void)events; /* that nobody reads any more is what the next write says */
    d->stream->writable = true;
    stream_wake(d->stream);
}

static ssize_t send_some(int fd, const struct chain *out)
{
    struct iovec iov[IOV_COUNT];
    const struct link *l = out->head;
    off_t offset = l->offset;
    if (l->kind == LINK_MEM)
        return writev(fd, iov, chain_iov(out, iov, IOV_COUNT));
    return splice(l->source->fd, l->kind == LINK_FILE ? &offset : NULL, fd, NULL, l->n,
                  SPLICE_F_NONBLOCK);
}

static ssize_t drop_all(struct duplex *d, struct chain *out)
{
    ssize_t n = (ssize_t)out->bytes;
    loop_close(d->stream->loop, &d->to);
    chain_clear(out);
    return n;
}

/* No event will tell of it: the next read does. */
static ssize_t failed(struct duplex *d, int error)
{
    d->stream->readable = true;
    return error;
}

static ssize_t await_room(struct duplex *d)
{
    if (d->is_watched)
        return -EAGAIN;
    d->is_watched = true;
    int error = loop_watch(d->stream->loop, &d->to, EPOLLOUT);
    return error ? failed(d, error) : -EAGAIN;
}

static ssize_t duplex_write(struct stream *s, struct chain *out)
{
    struct duplex *d = s->duplex;
    if (d->to.fd < 0)
        return drop_all(d, out);
    bool is_file = out->head->kind == LINK_FILE;
    ssize_t sent = send_some(d->to.fd, out);
    if (sent > 0)
        chain_drop(out, (size_t)sent);
    else if (sent == 0)
        return is_file ? failed(d, -EIO) : -EAGAIN; /* the file has become shorter */
    else if (errno == EPIPE)
        return drop_all(d, out);
    else if (errno == EAGAIN)
        return await_room(d);
    return sent < 0 ? failed(d, -errno) : sent;
}

/* What breaks off is no end of the input: then it is closed when the program has been told. */
static void duplex_finish(struct stream *s)
{
    if (s->error)
        return;
    loop_close(s->loop, &s->duplex->to);
}

/* ---- life ---- */

/* A program's answer is its only one: nothing is kept. */
static bool is_not(struct stream *s)
{
    (void)s;
    return false;
}

static bool cannot_move(const struct stream *s)
{
    (void)s;
    return false;
}

static void free_duplex(struct deferred *f)
{
    free(container_of(f, struct duplex, free));
}

/* At the end of the turn, for an event of it may be under way. */
static void duplex_close(struct stream *s, bool hard)
{
    struct duplex *d = s->duplex;
    (void)hard;
    loop_close(s->loop, &d->to);
    loop_defer(s->loop, &d->free);
    s->duplex = NULL;
}

static const struct transport transport_duplex = {
    .name = "pipes",
    .read = duplex_read,
    .write = duplex_write,
    .splice = duplex_splice,
    .finish = duplex_finish,
    .is_quiet = is_not,
    .is_clear = cannot_move,
    .close = duplex_close,
};

int duplex_open(struct stream *s, struct loop *loop, int from, int to,
                void (*on_ready)(struct stream *s))
{
    struct duplex *d = mem_zalloc(sizeof(*d));
    *d = (struct duplex){.to = {.fd = to, .on_event = on_to}, .stream = s};
    deferred_init(&d->free, free_duplex);
    *s = (struct stream){
        .watch = {.fd = from, .on_event = on_from},
        .transport = &transport_duplex,
        .duplex = d,
        .loop = loop,
        .on_ready = on_ready,
        .writable = true,
    };
    int error = loop_watch(loop, &s->watch, EPOLLIN);
    if (error)
        stream_close(s, false);
    return error;
}
