/* SPDX-License-Identifier: MIT */
#include "proc/appsock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

enum { APP_BACKLOG = 1024 };

int appsock_path(struct slice path, struct net_addr *addr)
{
    *addr = (struct net_addr){.un.sun_family = AF_UNIX};
    if (path.n >= sizeof(addr->un.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr->un.sun_path, path.p, path.n);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return 0;
}

int appsock_listen(const struct net_addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    unlink(addr->un.sun_path); /* in our own directory: what is there is ours, and old */
    /* The file gets the permissions of the socket, so nobody else ever has a chance. */
    if (fchmod(fd, 0600) < 0 || bind(fd, &addr->sa, addr->len) < 0 || listen(fd, APP_BACKLOG) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

bool appsock_is_awaited(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return fd >= 0 && poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

int appsock_find_port(struct net_addr *addr)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *addr = (struct net_addr){.len = sizeof(addr->in4)};
    addr->in4.sin_family = AF_INET;
    addr->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, &addr->sa, addr->len) < 0 || getsockname(fd, &addr->sa, &addr->len) < 0)
        return -errno;
    return 0;
}

/* A connection within the machine stands, or is refused, by the time connect() returns; only how
 * that is told differs. */
bool appsock_answers(const struct net_addr *addr)
{
    AUTO_CLOSE int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, &addr->sa, addr->len) == 0)
        return true;
    if (errno == EAGAIN) /* unix: so many wait to be accepted that there is no room */
        return true;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    return errno == EINPROGRESS && poll(&p, 1, 0) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}
