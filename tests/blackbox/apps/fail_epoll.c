/* Loaded before libc: where the file $EPOLL_FAILS is, it is removed, and the next pipe that is to
 * be watched cannot be: one that is read from, or, where the file has anything in it, one that is
 * written to. SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd)
{
    const char *path = getenv("EPOLL_FAILS");
    struct stat st, file;
    if (!path || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || stat(path, &file) < 0)
        return 0;
    int wanted = file.st_size ? O_WRONLY : O_RDONLY;
    return (fcntl(fd, F_GETFL) & O_ACCMODE) == wanted && unlink(path) == 0;
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && fails(fd)) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}
