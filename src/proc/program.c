/* SPDX-License-Identifier: MIT */
#include "proc/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int program_find(struct slice dir, struct slice path, size_t *n)
{
    char file[PROGRAM_PATH_MAX];
    struct stat st;
    for (size_t end = 0; end < path.n;) {
        end += 1 + slice_find(slice_skip(path, end + 1), '/');
        if (dir.n + end >= sizeof(file))
            return -ENOENT;
        memcpy(file, dir.p, dir.n);
        memcpy(file + dir.n, path.p, end);
        file[dir.n + end] = '\0';
        if (stat(file, &st) < 0)
            return -ENOENT;
        if (S_ISREG(st.st_mode)) {
            *n = end;
            return access(file, X_OK) < 0 ? -EACCES : 0;
        }
    }
    return -ENOENT;
}

int program_stream(int *ours, int *programs)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
        int error = -errno;
        close(pair[0]);
        close(pair[1]);
        return error;
    }
    *ours = pair[0];
    *programs = pair[1];
    return 0;
}
