/* SPDX-License-Identifier: MIT */
#include "net/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

static bool fail(struct arena *a, const char **why, int error)
{
    *why = arena_printf(a, "%s", strerror(error)).p;
    return false;
}

/* Reads to the end, whatever the size that stat told: it may be a pipe or in /proc. */
static bool read_all(int fd, struct arena *a, struct slice *text, const char **why)
{
    AUTO_FREE char *bytes = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        if (n == cap) {
            cap = cap ? cap * 2 : 16384;
            char *grown = realloc(bytes, cap);
            if (!grown)
                return fail(a, why, ENOMEM);
            bytes = grown;
        }
        ssize_t got = read(fd, bytes + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(a, why, errno);
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > CONF_FILE_MAX)
            return fail(a, why, EFBIG);
    }
    *text = arena_dup(a, slice_of(bytes, n));
    return true;
}

/* Whose writer may never come. What a shell hands over, <(...), has a writer. */
static bool is_fifo(struct slice path)
{
    struct stat st;
    bool is_ours = slice_starts(path, SLICE("/dev/")) || slice_starts(path, SLICE("/proc/"));
    return !is_ours && stat(path.p, &st) == 0 && S_ISFIFO(st.st_mode);
}

bool conf_file_read(void *context, struct slice path, struct arena *a, struct slice *text,
                    const char **why)
{
    (void)context;
    struct slice name = arena_dup(a, path);
    *why = "a FIFO, and not a file";
    if (is_fifo(name))
        return false;
    AUTO_CLOSE int fd = open(name.p, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fail(a, why, errno) : read_all(fd, a, text, why);
}

/* Beside the file that includes it. */
static struct slice resolve_path(struct slice pattern, struct slice from, struct arena *a)
{
    size_t directory = from.n;
    while (directory && from.p[directory - 1] != '/')
        directory--;
    if (slice_starts(pattern, SLICE("/")) || directory == 0)
        return arena_dup(a, pattern);
    return arena_printf(a, SLICE_FMT SLICE_FMT, (int)directory, from.p, SLICE_ARG(pattern));
}

uint32_t conf_file_glob(void *context, struct slice pattern, struct slice from, struct arena *a,
                        struct slice **paths)
{
    (void)context;
    struct slice path = resolve_path(pattern, from, a);
    bool has_wildcards = strpbrk(path.p, "*?[") != NULL;
    glob_t found = {0};
    int flags = GLOB_MARK | (has_wildcards ? 0 : GLOB_NOCHECK);
    uint32_t count = 0;
    if (glob(path.p, flags, NULL, &found) == 0) {
        *paths = arena_alloc(a, (found.gl_pathc + 1) * sizeof(**paths));
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct slice one = slice_str(found.gl_pathv[i]);
            if (!has_wildcards || !slice_ends(one, SLICE("/"))) /* a pattern means files */
                (*paths)[count++] = arena_dup(a, one);
        }
    }
    globfree(&found);
    return count;
}

const char *conf_file_env(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

bool conf_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
