/* SPDX-License-Identifier: MIT */
#include "proc/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"

enum { ANSWER_S = 5 };

/* ---- a message with a descriptor ---- */

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

/* fd -1: none. */
static int send_with(int channel, const void *p, size_t n, int fd)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    union control control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(channel, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Bytes, 0: the other end is gone, or -errno. *fd: -1 if none came. */
static ssize_t receive_with(int channel, void *p, size_t n, int *fd)
{
    struct iovec iov = {p, n};
    union control control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t got = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC);
    *fd = -1;
    if (got < 0)
        return -errno;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    return got;
}

/* ---- the child ---- */

static void answer(const char *path, int reply, opener_may_fn *may, void *ctx)
{
    bool allowed = may(ctx, path);
    AUTO_CLOSE int fd = allowed ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
    int error = !allowed ? -EACCES : fd < 0 ? -errno : 0;
    error = send_with(reply, &error, sizeof(error), fd);
    (void)error; /* who asked has gone */
}

static void run(int channel, opener_may_fn *may, void *ctx) __attribute__((noreturn));
static void run(int channel, opener_may_fn *may, void *ctx)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    char path[PATH_MAX + 1];
    int reply;
    prctl(PR_SET_NAME, "sluice-opener");
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    for (;;) {
        ssize_t n = receive_with(channel, path, sizeof(path) - 1, &reply);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            _exit(EXIT_SUCCESS);
        path[n] = '\0';
        if (reply >= 0) {
            answer(path, reply, may, ctx);
            close(reply);
        }
    }
}

/* Nothing that the parent has open may live on in the child. */
static int keep_only(int channel)
{
    enum { PLACE = 3 };
    if (channel != PLACE && dup2(channel, PLACE) < 0)
        _exit(EXIT_FAILURE);
    close_range(PLACE + 1, ~0U, 0);
    return PLACE;
}

int opener_start(opener_may_fn *may, void *ctx)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0) {
        pid_t own = fork(); /* a grandchild, which the master reaps, or init */
        if (own != 0)
            _exit(own < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        run(keep_only(pair[1]), may, ctx);
    }
    int error = pid < 0 ? -errno : 0, status = 0;
    close(pair[1]);
    if (!error && (waitpid(pid, &status, 0) < 0 || status != 0))
        error = -EAGAIN;
    const struct timeval limit = {.tv_sec = ANSWER_S};
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (!error)
        return pair[0];
    close(pair[0]);
    return error;
}

/* ---- who asks ---- */

static int wait_for_answer(int socket)
{
    const struct timeval limit = {.tv_sec = ANSWER_S};
    int error, fd;
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ssize_t n = receive_with(socket, &error, sizeof(error), &fd);
    if (n == (ssize_t)sizeof(error))
        return error ? error : fd >= 0 ? fd : -EPROTO;
    return n < 0 ? (int)n : -EPIPE;
}

int opener_open(int channel, const char *path)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int rc = send_with(channel, path, strlen(path), pair[1]);
    close(pair[1]);
    if (!rc)
        rc = wait_for_answer(pair[0]);
    close(pair[0]);
    return rc;
}
