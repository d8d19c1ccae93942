/* SPDX-License-Identifier: MIT */
#include "proc/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "net/file.h"

/* 1: it is a program; 0: something that a program may be beneath; or -errno. */
static int look(int dir, const char *name, enum file_links links)
{
    struct stat st;
    AUTO_CLOSE int fd = file_find(dir, name, links);
    if (fd < 0)
        return fd == -ELOOP || fd == -EXDEV ? fd : -ENOENT;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return faccessat(fd, "", X_OK, AT_EMPTY_PATH) < 0 ? -EACCES : 1;
}

int program_find(const struct spawn_def *def, struct slice path, size_t *n)
{
    char name[PROGRAM_PATH_MAX];
    AUTO_CLOSE int dir = file_open_dir(def->directory.p);
    int found = dir < 0 ? -ENOENT : 0;
    for (size_t end = 0; found == 0 && end < path.n;) {
        end += 1 + slice_find(slice_skip(path, end + 1), '/');
        struct slice so_far = slice_skip(slice_first(path, end), 1);
        struct slice with_slash = slice_skip(slice_first(path, end + (end < path.n)), 1);
        if (so_far.n >= sizeof(name) || (!def->dotfiles && file_is_hidden(with_slash)))
            return -ENOENT;
        memcpy(name, so_far.p, so_far.n);
        name[so_far.n] = '\0';
        found = look(dir, so_far.n ? name : ".", def->links);
        *n = end;
    }
    return found > 0 ? 0 : found ? found : -ENOENT;
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
