/* SPDX-License-Identifier: MIT */
#include "net/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READING = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, PLACE = O_PATH | O_CLOEXEC };

/* EAGAIN: the tree was changed while the kernel followed a "..": worth another try, not many. */
static int resolve(int dir, const char *path, int flags, uint64_t how)
{
    enum { TRIES = 4 };
    struct open_how open = {.flags = (uint64_t)flags, .resolve = how};
    long fd = -1;
    for (int i = 0; i < TRIES && fd < 0 && (i == 0 || errno == EAGAIN || errno == EINTR); i++)
        fd = syscall(SYS_openat2, dir, path, &open, sizeof(open));
    return fd < 0 ? -errno : (int)fd;
}

/* ---- links that belong to who owns what they lead to ---- */

/* A link of a stranger could lead to what that stranger may not read, but we may. */
static int follow_own(int root, int link, const char *so_far)
{
    struct stat of_link, of_target;
    int target = resolve(root, so_far, PLACE, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (target < 0)
        return target;
    bool own = fstat(link, &of_link) == 0 && fstat(target, &of_target) == 0 &&
               of_link.st_uid == of_target.st_uid;
    if (own)
        return target;
    close(target);
    return -ELOOP;
}

/* Goes one name down from `at`, which it closes unless it is root. */
static int step(int root, int at, const char *name, const char *so_far)
{
    struct stat st;
    int fd = resolve(at, name, PLACE | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (at != root)
        close(at);
    if (fd < 0 || (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode)))
        return fd;
    int target = follow_own(root, fd, so_far);
    close(fd);
    return target;
}

/* Name by name, each held by a descriptor, so that what was looked at is what is opened. */
static int walk(int root, const char *path)
{
    char names[4096], so_far[4096];
    size_t n = strlen(path), end = 0;
    if (n >= sizeof(names))
        return -ENAMETOOLONG;
    memcpy(names, path, n + 1);
    int at = root;
    for (char *rest = names, *name; at >= 0 && (name = strsep(&rest, "/"));) {
        end = (size_t)(name - names) + strlen(name);
        memcpy(so_far, path, end);
        so_far[end] = '\0';
        at = step(root, at, *name ? name : ".", so_far);
    }
    return at;
}

static int open_own(int root, const char *path)
{
    char place[64];
    int at = walk(root, path);
    if (at < 0)
        return at;
    snprintf(place, sizeof(place), "/proc/self/fd/%d", at);
    int fd = open(place, READING);
    int error = fd < 0 ? -errno : fd;
    close(at);
    return error;
}

/* ---- opening ---- */

static int open_any(int dir, const char *path, enum file_links links, int flags)
{
    const uint64_t beneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int fd;
    switch (links) {
    case FILE_LINKS_ON: return resolve(dir, path, flags, beneath);
    case FILE_LINKS_OFF: return resolve(dir, path, flags, beneath | RESOLVE_NO_SYMLINKS);
    case FILE_LINKS_FOLLOW: return resolve(dir, path, flags, RESOLVE_NO_MAGICLINKS);
    case FILE_LINKS_OWNER:
        fd = resolve(dir, path, flags, beneath | RESOLVE_NO_SYMLINKS);
        if (fd != -ELOOP)
            return fd;
        return flags == PLACE ? walk(dir, path) : open_own(dir, path);
    case FILE_LINKS_KINDS: break;
    }
    return -EINVAL;
}

int file_open_dir(const char *path)
{
    int fd = open(path, PLACE | O_DIRECTORY);
    return fd < 0 ? -errno : fd;
}

static int64_t nanoseconds(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static struct file_info info_of(const struct stat *st)
{
    return (struct file_info){
        .size = (uint64_t)st->st_size,
        .inode = st->st_ino,
        .device = st->st_dev,
        .mtime_ns = nanoseconds(&st->st_mtim),
        .ctime_ns = nanoseconds(&st->st_ctim),
        .is_dir = S_ISDIR(st->st_mode),
    };
}

int file_look(int fd, struct file_info *info)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return -ENXIO;
    *info = info_of(&st);
    return 0;
}

int file_open(int dir, const char *path, enum file_links links, struct file_info *info)
{
    int fd = open_any(dir, path, links, READING);
    if (fd < 0)
        return fd;
    int error = file_look(fd, info);
    if (error)
        close(fd);
    return error ? error : fd;
}

int file_find(int dir, const char *path, enum file_links links)
{
    return open_any(dir, path, links, PLACE);
}

bool file_is_hidden(struct slice path)
{
    bool at_start = true;
    if (slice_starts(path, SLICE(".well-known/")))
        path = slice_skip(path, 1);
    for (size_t i = 0; i < path.n; i++) {
        if (at_start && path.p[i] == '.')
            return true;
        at_start = path.p[i] == '/';
    }
    return false;
}

/* ---- using ---- */

bool file_read(int fd, char *p, size_t n, off_t offset)
{
    while (n) {
        ssize_t got = pread(fd, p, n, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
        offset += got;
    }
    return true;
}

static bool list_one(DIR *d, const char *name, file_each_fn *each, void *ctx)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    const struct file_info info = info_of(&st);
    if (S_ISREG(st.st_mode))
        return each(ctx, name, FILE_PLAIN, &info);
    if (S_ISDIR(st.st_mode))
        return each(ctx, name, FILE_DIRECTORY, &info);
    return !S_ISLNK(st.st_mode) || each(ctx, name, FILE_LINK, &info);
}

int file_list(int dir, file_each_fn *each, void *ctx)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* with a place of its own */
    if (fd < 0)
        return -errno;
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = -errno;
        close(fd);
        return error;
    }
    const struct dirent *e;
    while ((e = readdir(d)) && list_one(d, e->d_name, each, ctx))
        ;
    closedir(d);
    return 0;
}

bool file_is_beneath_file(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 && errno == ENOTDIR;
}

int file_unlink(int dir, const char *path, const struct file_info *info)
{
    char folder[4096];
    struct stat st;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof(folder))
        return -ENAMETOOLONG;
    memcpy(folder, path, n);
    folder[n] = '\0';
    int at = resolve(dir, n ? folder : ".", PLACE | O_DIRECTORY,
                     RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (at < 0)
        return at;
    int error = fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0         ? -errno
                : st.st_ino != info->inode || st.st_dev != info->device ? -ESTALE
                : unlinkat(at, name, 0) < 0                             ? -errno
                                                                        : 0;
    close(at);
    return error;
}
