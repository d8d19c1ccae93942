/* SPDX-License-Identifier: MIT */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/direct.h"

enum {
    IOV_COUNT = 72,            /* a whole BUF_HUGE of chunks of 16 KiB in one write */
    SENDFILE_MAX = 160 * 1024, /* no multiple of 64 KiB, of which a little is left for a segment */
    TOGETHER_MAX = 32 * 1024,
    FRESH_MAX = 128 * 1024, /* of memory that was never written, in one read */
    EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
};

/* ---- the plain transport ---- */

static ssize_t plain_read(struct stream *s, char *p, size_t n)
{
    ssize_t got = direct_recv(s->watch.fd, p, n, 0);
    s->readable = (size_t)got == n || s->hup;
    return got < 0 ? -errno : got;
}

/* A short write means that the socket's buffer is full: the next edge comes when it has room, so
 * the write that would say EAGAIN is saved. What a short file or pipe follows waits for its bytes,
 * to go in one packet with them; before a long one it goes by itself, or all its segments would be
 * cut elsewhere than its pages, which costs more than the packet. */
static ssize_t write_mem(struct stream *s, const struct chain *out)
{
    struct iovec iov[IOV_COUNT];
    int count = chain_iov(out, iov, IOV_COUNT);
    size_t offered = 0;
    for (int i = 0; i < count; i++)
        offered += iov[i].iov_len;
    bool joins = offered < out->bytes && out->bytes - offered < TOGETHER_MAX;
    int flags = MSG_NOSIGNAL | (joins ? MSG_MORE : 0);
    ssize_t sent;
    if (count == 1) {
        sent = direct_send(s->watch.fd, iov[0].iov_base, iov[0].iov_len, flags);
    } else {
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
        sent = sendmsg(s->watch.fd, &msg, flags);
    }
    if (sent >= 0 && (size_t)sent < offered)
        s->writable = false;
    return sent;
}

static ssize_t write_file(int fd, const struct link *l)
{
    off_t offset = l->offset;
    size_t n = l->n < SENDFILE_MAX ? l->n : SENDFILE_MAX;
    ssize_t sent = sendfile(fd, l->source->fd, &offset, n);
    if (sent == 0)
        errno = EIO; /* the file shrank under us: the promised bytes do not exist */
    return sent == 0 ? -1 : sent;
}

static ssize_t write_pipe(int fd, const struct link *l)
{
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (l->next ? SPLICE_F_MORE : 0);
    return splice(l->source->fd, NULL, fd, NULL, l->n, flags);
}

ssize_t transport_plain_send(struct stream *s, const struct chain *out)
{
    const struct link *l = out->head;
    ssize_t sent = l->kind == LINK_MEM    ? write_mem(s, out)
                   : l->kind == LINK_FILE ? write_file(s->watch.fd, l)
                                          : write_pipe(s->watch.fd, l);
    return sent < 0 ? -errno : sent;
}

static ssize_t plain_write(struct stream *s, struct chain *out)
{
    ssize_t sent = transport_plain_send(s, out);
    if (sent > 0)
        chain_drop(out, (size_t)sent);
    return sent;
}

static ssize_t plain_splice(struct stream *s, int pipe_fd, size_t n)
{
    ssize_t got = splice(s->watch.fd, NULL, pipe_fd, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return got < 0 ? -errno : got;
}

static void plain_finish(struct stream *s)
{
    shutdown(s->watch.fd, SHUT_WR);
}

const struct transport transport_plain = {
    .name = "plain",
    .read = plain_read,
    .write = plain_write,
    .splice = plain_splice,
    .finish = plain_finish,
};

/* ---- the stream ---- */

/* False: it is not out yet, or has failed. The buffer of a new socket has room for it. */
static bool send_lead(struct stream *s)
{
    if (!s->writable)
        return false;
    ssize_t sent = send(s->watch.fd, s->lead.p, s->lead.n, MSG_NOSIGNAL);
    if (sent == (ssize_t)s->lead.n) {
        s->lead = SLICE_NONE;
        return true;
    }
    s->error = sent < 0 ? -errno : -EPROTO;
    return false;
}

void stream_lead(struct stream *s, struct slice lead)
{
    s->lead = lead;
}

void stream_wake(struct stream *s)
{
    if (!s->transport->on_event || s->transport->on_event(s))
        s->on_ready(s);
}

void stream_again(struct stream *s)
{
    loop_renew(s->loop, &s->watch, EVENTS);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct stream *s = container_of(w, struct stream, watch);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        s->writable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->hup = true;
    if (events & (EPOLLHUP | EPOLLERR))
        s->reset = true;
    if (!s->lead.n || s->reset || send_lead(s))
        stream_wake(s);
    else if (s->error)
        s->on_ready(s);
}

int stream_open(struct stream *s, struct loop *loop, int fd, void (*on_ready)(struct stream *s))
{
    *s = (struct stream){
        .watch = {.fd = fd, .on_event = on_event},
        .transport = &transport_plain,
        .loop = loop,
        .on_ready = on_ready,
    };
    int rc = loop_watch(loop, &s->watch, EVENTS);
    if (rc < 0)
        loop_close(loop, &s->watch);
    return rc;
}

int stream_move(struct stream *s, struct loop *loop)
{
    s->loop = loop;
    s->readable = s->hup = s->reset = false; /* what is so comes as a first event */
    s->writable = true;
    return loop_watch(loop, &s->watch, EVENTS);
}

bool stream_is_clear(const struct stream *s)
{
    return !s->in && (!s->transport->is_clear || s->transport->is_clear(s));
}

ssize_t stream_peek(struct stream *s, char *p, size_t n)
{
    ssize_t got = recv(s->watch.fd, p, n, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    return got;
}

void stream_skip(struct stream *s, size_t n)
{
    char p[1024];
    while (n) {
        ssize_t got = recv(s->watch.fd, p, n < sizeof(p) ? n : sizeof(p), MSG_DONTWAIT);
        if (got <= 0)
            return; /* what was seen is there: the next read tells */
        n -= (size_t)got;
    }
}

static void release_in(struct stream *s)
{
    if (s->in)
        buf_unref(s->in);
    s->in = NULL;
    s->in_at = 0;
}

void stream_close(struct stream *s, bool hard)
{
    stream_leave_outbox(s);
    release_in(s);
    if (s->state)
        s->transport->close(s, hard);
    if (hard && s->watch.fd >= 0) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    loop_close(s->loop, &s->watch);
    s->readable = s->writable = false;
}

/* Puts unread bytes into a buf of at least room bytes more. */
static void move_in(struct stream *s, size_t room)
{
    struct slice rest = stream_bytes(s);
    struct buf *b = buf_take(&s->loop->bufs, rest.n + room);
    memcpy(b->data, rest.p, rest.n);
    b->used = (uint32_t)rest.n;
    buf_unref(s->in);
    s->in = b;
    s->in_at = 0;
}

/* Sees to it that s->in has room behind its unread bytes; false if BUF_LARGE are waiting already.
 */
static bool make_room(struct stream *s, size_t want)
{
    bool deep = want == BUF_HUGE;
    if (!s->in) {
        s->in = buf_take(&s->loop->bufs, want);
        s->in_at = 0;
        return true;
    }
    if (buf_room(s->in) && !deep)
        return true;
    size_t waiting = s->in->used - s->in_at;
    if (waiting >= BUF_LARGE)
        return false;
    if (deep)
        move_in(s, BUF_HUGE - waiting);
    else
        move_in(s, waiting * 3 < BUF_LARGE - waiting ? waiting * 3 : BUF_LARGE - waiting);
    return true;
}

static ssize_t failed(struct stream *s, ssize_t rc)
{
    if (rc == -EINTR)
        return -EAGAIN;
    if (rc != -EAGAIN && !s->error)
        s->error = (int)rc;
    return rc;
}

/* Reads up to so much into s->in, which has room for it. */
static ssize_t read_in(struct stream *s, size_t room)
{
    ssize_t got = s->transport->read(s, buf_end(s->in), room);
    if (got > 0) {
        s->in->used += (uint32_t)got;
        s->filled = (size_t)got == room;
        return got;
    }
    s->readable = false;
    if (got == 0)
        s->eof = true;
    if (s->in_at == s->in->used)
        release_in(s);
    return got < 0 ? failed(s, got) : 0;
}

static ssize_t fill(struct stream *s, size_t want)
{
    return make_room(s, want) ? read_in(s, buf_room(s->in)) : -ENOBUFS;
}

ssize_t stream_fill(struct stream *s)
{
    return fill(s, BUF_LARGE);
}

ssize_t stream_fill_head(struct stream *s)
{
    size_t want = s->spliced ? BUF_MEDIUM : BUF_LARGE;
    s->spliced = false;
    return fill(s, want);
}

_Static_assert((int)DEEP_MIN <= (int)FRESH_MAX, "a read into fresh memory teaches nothing");

/* As much as can be passed on in time, and some more than was ever written of this buf. */
static size_t deep_room(const struct stream *s)
{
    size_t room = buf_room(s->in);
    size_t warm = buf_warm(s->in) - s->in->used + FRESH_MAX;
    size_t timely = quantum_now(&s->loop->deep.quantum);
    if (room > warm)
        room = warm;
    return room < timely ? room : timely;
}

ssize_t stream_fill_deep(struct stream *s)
{
    struct deep *deep = &s->loop->deep;
    if (!s->filled || !buf_may_be_huge(&s->loop->bufs))
        return stream_fill(s);
    if (!make_room(s, BUF_HUGE))
        return -ENOBUFS;
    deep->begun_us = loop_clock_us();
    ssize_t got = read_in(s, deep_room(s));
    deep->bytes += got > 0 ? (uint64_t)got : 0;
    return got;
}

void stream_passed_deep(struct loop *l, uint64_t bytes)
{
    if (l->deep.bytes != bytes)
        quantum_learn(&l->deep.quantum, (uint32_t)(l->deep.bytes - bytes),
                      loop_clock_us() - l->deep.begun_us);
}

void stream_consume(struct stream *s, size_t n)
{
    s->in_at += (uint32_t)n;
    if (s->in && s->in_at == s->in->used)
        release_in(s);
}

void stream_settle(struct stream *s)
{
    if (!s->in)
        return;
    size_t waiting = s->in->used - s->in_at;
    if (s->in->cap > BUF_SMALL && waiting * 4 < s->in->cap)
        move_in(s, 1);
}

bool stream_flush(struct stream *s, struct chain *out)
{
    return stream_flush_part(s, out, SIZE_MAX);
}

bool stream_flush_part(struct stream *s, struct chain *out, size_t max)
{
    stream_leave_outbox(s);
    if (out->bytes > OUTBOX_BYTES)
        outbox_send(&s->loop->outbox);
    return stream_write(s, out, max);
}

bool stream_write(struct stream *s, struct chain *out, size_t max)
{
    for (size_t total = 0; s->writable && !chain_is_empty(out) && total < max;) {
        ssize_t sent = s->transport->write(s, out);
        if (sent > 0)
            total += (size_t)sent;
        else if (sent == -EAGAIN)
            s->writable = false;
        else if (sent < 0)
            failed(s, sent);
        if (s->error)
            return false;
    }
    return s->error == 0;
}

ssize_t stream_splice(struct stream *s, int pipe_fd, size_t n)
{
    ssize_t got = s->transport->splice(s, pipe_fd, n);
    s->filled = got > 0 && (size_t)got >= n / 2; /* a pipe may be full of less */
    if (got > 0) {
        s->spliced = true;
        return got;
    }
    s->readable = false;
    if (got == 0)
        s->eof = true;
    return got < 0 ? failed(s, got) : 0;
}

void stream_finish(struct stream *s)
{
    if (!s->finished && s->watch.fd >= 0)
        s->transport->finish(s);
    s->finished = true;
}

void stream_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int stream_dial(const struct sockaddr *addr, unsigned addr_len, bool writes_once, int *fd)
{
    *fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return -errno;
    if (addr->sa_family != AF_UNIX && !writes_once)
        stream_no_delay(*fd);
    if (connect(*fd, addr, addr_len) == 0 || errno == EINPROGRESS)
        return 0;
    int rc = -errno;
    close(*fd);
    *fd = -1;
    return rc;
}

int stream_dial_result(const struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

bool stream_is_quiet(struct stream *s)
{
    if (s->hup || s->eof || s->error || s->in)
        return false;
    if (s->transport->is_quiet)
        return s->transport->is_quiet(s);
    char c;
    if (recv(s->watch.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN)
        return false;
    s->readable = false;
    return true;
}
