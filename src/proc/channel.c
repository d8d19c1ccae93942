/* SPDX-License-Identifier: MIT */
#include "proc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"

enum { SOCKET_BUFFER = 208 * 1024, PACKETS_PER_TURN = 64, ROOM_MS = 5000 };

/* A message that waits for room, with descriptors of its own. */
struct unsent {
    struct list node;
    size_t size;
    uint32_t fd_count;
    int fds[MESSAGE_FDS_MAX];
    char packet[];
};

static void set_buffer(int fd)
{
    int size = SOCKET_BUFFER; /* a smaller one only means that longer messages are refused */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int channel_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    set_buffer(fds[0]);
    set_buffer(fds[1]);
    return 0;
}

int channel_adopt(int fd)
{
    int domain = 0, type = 0;
    socklen_t len = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (domain != AF_UNIX || type != SOCK_SEQPACKET)
        return -EINVAL;
    set_buffer(fd);
    return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* ---- sending ---- */

static int send_packet(int fd, struct slice packet, const int *fds, uint32_t fd_count)
{
    struct iovec iov = {.iov_base = (void *)packet.p, .iov_len = packet.n};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
    } control = {.bytes = {0}};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static void unsent_free(struct unsent *u)
{
    for (uint32_t i = 0; i < u->fd_count; i++)
        close(u->fds[i]);
    list_remove(&u->node);
    free(u);
}

static int keep_unsent(struct channel *c, struct slice packet, const int *fds, uint32_t fd_count)
{
    struct unsent *u = mem_zalloc(sizeof(*u) + packet.n);
    int error = 0;
    list_init(&u->node);
    u->size = packet.n;
    memcpy(u->packet, packet.p, packet.n);
    for (uint32_t i = 0; i < fd_count && !error; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            error = -errno;
        else
            u->fds[u->fd_count++] = fd;
    }
    if (error)
        unsent_free(u);
    else
        list_append(&c->unsent, &u->node);
    return error;
}

static void send_unsent(struct channel *c)
{
    struct list *node;
    while ((node = list_first(&c->unsent))) {
        struct unsent *u = container_of(node, struct unsent, node);
        struct slice packet = slice_of(u->packet, u->size);
        if (send_packet(c->watch.fd, packet, u->fds, u->fd_count) == -EAGAIN)
            return;
        unsent_free(u);
    }
}

static int encode(const struct message *m, char packet[MESSAGE_MAX], size_t *size)
{
    *size = message_write(m, packet, MESSAGE_MAX);
    return *size ? 0 : -E2BIG;
}

int channel_send(struct channel *c, const struct message *m, const int *fds, uint32_t fd_count)
{
    size_t size;
    if (!channel_is_open(c))
        return -ENOTCONN;
    if (!c->packet)
        c->packet = mem_alloc(MESSAGE_MAX);
    int error = encode(m, c->packet, &size);
    if (!error && list_is_empty(&c->unsent))
        error = send_packet(c->watch.fd, slice_of(c->packet, size), fds, fd_count);
    else if (!error)
        error = -EAGAIN;
    if (error == -EAGAIN)
        error = keep_unsent(c, slice_of(c->packet, size), fds, fd_count);
    return error == -EPIPE || error == -ECONNRESET ? -ENOTCONN : error;
}

int channel_send_blocking(int fd, const struct message *m, const int *fds, uint32_t fd_count)
{
    AUTO_FREE char *packet = mem_alloc(MESSAGE_MAX);
    size_t size;
    int error = encode(m, packet, &size);
    while (!error && (error = send_packet(fd, slice_of(packet, size), fds, fd_count)) == -EAGAIN) {
        struct pollfd room = {.fd = fd, .events = POLLOUT};
        int n = poll(&room, 1, ROOM_MS);
        error = n == 0 ? -ETIMEDOUT : n < 0 && errno != EINTR ? -errno : 0;
    }
    return error;
}

/* ---- receiving ---- */

static void close_fds(struct channel_fds *fds)
{
    for (uint32_t i = 0; i < fds->count; i++)
        if (fds->fd[i] >= 0)
            close(fds->fd[i]);
}

static void take_fds(struct msghdr *msg, struct channel_fds *fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (fds->count < MESSAGE_FDS_MAX)
                fds->fd[fds->count++] = fd;
            else
                close(fd);
        }
    }
}

static void lose(struct channel *c, const char *why)
{
    channel_close(c);
    c->on_closed(c, why);
}

/* False: there is no more for now, or the channel is closed. */
static bool receive_one(struct channel *c)
{
    struct iovec iov = {.iov_base = c->buffer, .iov_len = c->cap};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct channel_fds fds = {.count = 0};
    struct message m;
    ssize_t n = recvmsg(c->watch.fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        lose(c, n == 0 ? "closed by the other end" : strerror(errno));
        return false;
    }
    take_fds(&msg, &fds);
    const char *why = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)
                          ? "a message is too long, or descriptors are short"
                          : message_read(slice_of(c->buffer, (size_t)n), &m);
    if (why)
        lose(c, why);
    else
        c->on_message(c, &m, slice_of(c->buffer, (size_t)n), &fds);
    close_fds(&fds);
    return channel_is_open(c);
}

static void receive(struct channel *c)
{
    for (int i = 0; i < PACKETS_PER_TURN; i++)
        if (!receive_one(c))
            return;
    loop_defer(c->loop, &c->again);
}

void channel_hear(struct channel *c)
{
    while (channel_is_open(c) && receive_one(c))
        ;
}

static void receive_again(struct deferred *d)
{
    struct channel *c = container_of(d, struct channel, again);
    if (channel_is_open(c))
        receive(c);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct channel *c = container_of(w, struct channel, watch);
    if (events & EPOLLOUT)
        send_unsent(c);
    if (events & ~(uint32_t)EPOLLOUT) /* something to read, or the end */
        receive(c);
}

/* ---- life ---- */

void channel_init(struct channel *c, struct loop *l, size_t message_max)
{
    *c = (struct channel){.loop = l, .watch = {.fd = -1, .on_event = on_event}};
    deferred_init(&c->again, receive_again);
    list_init(&c->unsent);
    c->cap = message_max;
    c->buffer = mem_alloc(message_max);
}

int channel_open(struct channel *c, int fd)
{
    c->watch.fd = fd;
    int error = loop_watch(c->loop, &c->watch, EPOLLIN | EPOLLOUT);
    if (error)
        channel_close(c);
    return error;
}

void channel_close(struct channel *c)
{
    struct list *node;
    loop_close(c->loop, &c->watch);
    while ((node = list_first(&c->unsent)))
        unsent_free(container_of(node, struct unsent, node));
}

void channel_fini(struct channel *c)
{
    channel_close(c);
    if (list_is_linked(&c->again.node))
        list_remove(&c->again.node);
    free(c->buffer);
    free(c->packet);
    c->buffer = c->packet = NULL;
}

bool channel_is_open(const struct channel *c)
{
    return c->watch.fd >= 0;
}
