/* SPDX-License-Identifier: MIT */
#include "net/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"

int whole_file_read(const char *path, size_t max, char **text, size_t *n)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not for a FIFO's writer */
    return fd < 0 ? -errno : whole_file_read_fd(fd, max, text, n);
}

int whole_file_read_fd(int fd, size_t max, char **text, size_t *n)
{
    AUTO_FREE char *p = NULL;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uintmax_t)st.st_size > max)
        return -EFBIG;
    p = mem_alloc((size_t)st.st_size + 1);
    for (*n = 0; *n < (size_t)st.st_size;) {
        ssize_t got = read(fd, p + *n, (size_t)st.st_size - *n);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        *n += got > 0 ? (size_t)got : 0;
    }
    p[*n] = '\0';
    *text = take(p);
    return 0;
}

static int write_all(int fd, struct slice text)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return -errno;
        text = slice_skip(text, n > 0 ? (size_t)n : 0);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The new name is on the disk when its directory is. */
static int sync_folder_of(const char *path)
{
    AUTO_FREE char *folder = mem_dup(path, strlen(path));
    char *end = strrchr(folder, '/');
    if (end)
        end[end == folder] = '\0';
    AUTO_CLOSE int fd = open(end ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int whole_file_write(const char *path, struct slice text)
{
    size_t room = strlen(path) + 8;
    AUTO_FREE char *temp = mem_alloc(room);
    snprintf(temp, room, "%s.new", path);
    AUTO_CLOSE int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, text);
    if (!error && rename(temp, path) < 0)
        error = -errno;
    if (error) {
        unlink(temp);
        return error;
    }
    return sync_folder_of(path);
}

int whole_file_set_aside(const char *path)
{
    size_t room = strlen(path) + 8;
    AUTO_FREE char *aside = mem_alloc(room);
    snprintf(aside, room, "%s.bad", path);
    return rename(path, aside) < 0 ? -errno : 0;
}
