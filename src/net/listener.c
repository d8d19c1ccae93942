/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* ---- opening ---- */

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        close(fds[i]);
        fds[i] = -1;
    }
}

int listener_adopt(int fd, unsigned count, int *fds)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* refused by other kinds of sockets */
    for (unsigned i = 0; i < count; i++) {
        fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0) {
            int error = -errno;
            close_all(fds, i);
            return error;
        }
    }
    return 0;
}

/* Accepted sockets inherit TCP_NODELAY, which saves setting it on each. */
static int prepare_tcp(int fd, const struct net_addr *addr, bool v6_only)
{
    int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error)
        error = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!error && addr->sa.sa_family == AF_INET6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only);
    return error;
}

/* The first of a group is bound without SO_REUSEPORT, so that a port where somebody else listens
 * is refused even if he shares it; it joins the group afterwards, before it listens. */
static int bind_tcp(int fd, const struct net_addr *addr, bool first, bool v6_only)
{
    int error = prepare_tcp(fd, addr, v6_only);
    if (!error && !first)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!error && bind(fd, &addr->sa, addr->len) < 0)
        error = -errno;
    if (!error && first)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return error;
}

/* All are bound before one listens: connections are spread over a group that is complete. */
static int bind_group(struct net_addr addr, const struct listener_conf *conf, int *fds)
{
    for (unsigned i = 0; i < conf->count; i++) {
        fds[i] = new_socket(addr.sa.sa_family);
        int error = fds[i] < 0 ? fds[i] : bind_tcp(fds[i], &addr, i == 0, conf->v6_only);
        if (!error && i == 0)
            error = listener_addr(fds[0], &addr);
        if (error) {
            close_all(fds, fds[i] < 0 ? i : i + 1);
            return error;
        }
    }
    return 0;
}

static int listen_all(const struct listener_conf *conf, int *fds)
{
    for (unsigned i = 0; i < conf->count; i++) {
        if (listen(fds[i], conf->backlog ? conf->backlog : LISTENER_BACKLOG) < 0) {
            int error = -errno;
            close_all(fds, conf->count);
            return error;
        }
    }
    return 0;
}

static int open_tcp(const struct listener_conf *conf, int *fds)
{
    int error = bind_group(conf->addr, conf, fds);
    const struct sockaddr_in6 *in6 = &conf->addr.in6;
    if (error == -EAFNOSUPPORT && conf->addr.sa.sa_family == AF_INET6 && !conf->v6_only &&
        IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
        struct net_addr v4 = {.len = sizeof(v4.in4)};
        v4.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = in6->sin6_port};
        error = bind_group(v4, conf, fds);
    }
    return error ? error : listen_all(conf, fds);
}

/* 0 once nothing is in the way at addr: a socket file that refuses connections has been left behind
 * by somebody who died. */
static int remove_stale(const struct net_addr *addr)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return fd;
    int error = connect(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
    close(fd);
    if (error != -ECONNREFUSED)
        return error && error != -EAGAIN ? error : -EADDRINUSE; /* EAGAIN: its queue is full */
    return unlink(addr->un.sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The file gets its mode before anybody can connect, since nobody listens yet. */
static int bind_unix(int fd, const struct listener_conf *conf)
{
    const struct net_addr *a = &conf->addr;
    bool has_file = a->un.sun_path[0] != '\0';
    int error = has_file ? remove_stale(a) : 0;
    if (error)
        return error;
    if (bind(fd, &a->sa, a->len) < 0)
        return -errno;
    if (has_file && conf->mode && chmod(a->un.sun_path, conf->mode) < 0)
        return -errno;
    return listen(fd, conf->backlog ? conf->backlog : LISTENER_BACKLOG) < 0 ? -errno : 0;
}

static int open_unix(const struct listener_conf *conf, int *fds)
{
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return fd;
    int error = bind_unix(fd, conf);
    if (!error)
        error = listener_adopt(fd, conf->count, fds);
    close(fd);
    return error;
}

int listener_open(const struct listener_conf *conf, int *fds)
{
    return conf->addr.sa.sa_family == AF_UNIX ? open_unix(conf, fds) : open_tcp(conf, fds);
}

bool listener_is_one(int fd)
{
    int yes = 0;
    socklen_t len = sizeof(yes);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

int listener_addr(int fd, struct net_addr *a)
{
    *a = (struct net_addr){.len = sizeof(a->un)};
    return getsockname(fd, &a->sa, &a->len) < 0 ? -errno : 0;
}

/* ---- accepting ---- */

/* Level-triggered, unlike everything else: what a turn leaves in the queue is reported again, and
 * of several workers on one socket only some are woken (EPOLLEXCLUSIVE). */
static int watch_begin(struct listener *l)
{
    return loop_watch(l->loop, &l->watch, EPOLLIN | EPOLLEXCLUSIVE);
}

/* Not left to close(): a duplicate elsewhere would keep the socket in epoll. */
static void watch_end(struct listener *l)
{
    loop_unwatch(l->loop, &l->watch);
}

static void begin(struct listener *l)
{
    int error = watch_begin(l);
    l->state = error ? LISTENER_RESTING : LISTENER_ACCEPTING;
    if (error)
        timer_set(l->loop, &l->rest, LISTENER_REST_MS);
}

static void on_rested(struct timer *t)
{
    struct listener *l = container_of(t, struct listener, rest);
    if (l->state == LISTENER_RESTING)
        begin(l);
}

static void rest(struct listener *l, int error)
{
    if (l->starved++ == 0)
        log_error(0, "cannot accept connections, trying again every %d ms: %s", LISTENER_REST_MS,
                  strerror(-error));
    watch_end(l);
    l->state = LISTENER_RESTING;
    timer_set(l->loop, &l->rest, LISTENER_REST_MS);
}

enum taken { TAKEN, TAKEN_NOTHING, TAKEN_EMPTY, TAKEN_STARVED };

/* Errors of a connection that ended while it waited, or of the network it came by (accept(2)):
 * the next may be fine. EAGAIN ends a turn; everything else is ours and will not pass at once. */
static enum taken verdict(int error)
{
    switch (error) {
    case EAGAIN: return TAKEN_EMPTY;
    case ECONNABORTED:
    case EINTR:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case EHOSTDOWN:
    case EHOSTUNREACH: return TAKEN_NOTHING;
    default: return TAKEN_STARVED;
    }
}

static enum taken accept_one(struct listener *l, int *error)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    int fd = accept4(l->watch.fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        l->starved = 0;
        l->on_accept(l->ctx, fd, (const struct sockaddr *)&addr, len);
        return TAKEN;
    }
    *error = -errno;
    return verdict(errno);
}

/* The number of tries follows the load: where connections come one by one, the accept() that would
 * say EAGAIN is mostly saved; where they come in crowds, a turn takes many. */
static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    struct listener *l = container_of(w, struct listener, watch);
    for (unsigned i = 0; i < l->batch; i++) {
        int error;
        bool goes_on = l->state == LISTENER_ACCEPTING && (i == 0 || !loop_turn_is_long(l->loop));
        enum taken taken = goes_on ? accept_one(l, &error) : TAKEN_EMPTY;
        if (taken == TAKEN_STARVED)
            rest(l, error);
        if (taken == TAKEN_EMPTY || taken == TAKEN_STARVED) {
            l->batch = i ? i : 1;
            return;
        }
    }
    l->batch = l->batch < LISTENER_TURN_MAX / 2 ? l->batch * 2 : LISTENER_TURN_MAX;
}

int listener_start(struct listener *l, struct loop *loop, int fd, listener_accept_fn *on_accept,
                   void *ctx)
{
    *l = (struct listener){.watch = {.fd = fd, .on_event = on_event},
                           .loop = loop,
                           .on_accept = on_accept,
                           .ctx = ctx,
                           .state = LISTENER_ACCEPTING,
                           .batch = 1};
    timer_init(&l->rest, on_rested);
    int error = watch_begin(l);
    if (error) {
        loop_close(loop, &l->watch);
        l->state = LISTENER_CLOSED;
    }
    return error;
}

void listener_pause(struct listener *l)
{
    if (l->state == LISTENER_ACCEPTING)
        watch_end(l);
    if (l->state != LISTENER_CLOSED)
        l->state = LISTENER_PAUSED;
}

void listener_resume(struct listener *l)
{
    if (l->state == LISTENER_PAUSED)
        begin(l);
}

/* Closed in name: the descriptor is still there. */
static void leave(struct listener *l)
{
    if (l->state == LISTENER_ACCEPTING)
        watch_end(l);
    l->state = LISTENER_CLOSED;
    timer_fini(l->loop, &l->rest);
}

/* While draining, a callback that stops or pauses changes nothing. */
void listener_stop(struct listener *l)
{
    if (l->state == LISTENER_CLOSED)
        return;
    leave(l);
    enum taken taken;
    int error;
    do
        taken = accept_one(l, &error);
    while (taken == TAKEN || taken == TAKEN_NOTHING);
    loop_close(l->loop, &l->watch);
}

void listener_close(struct listener *l)
{
    if (l->state == LISTENER_CLOSED)
        return;
    leave(l);
    loop_close(l->loop, &l->watch);
}

void listener_put_addr(const struct listener *l, struct text *t)
{
    struct net_addr a;
    if (listener_addr(l->watch.fd, &a) == 0)
        net_addr_put(t, &a);
}
