/* SPDX-License-Identifier: MIT */
#include "proc/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "net/file.h"

/* What may not be looked into is not there; what cannot be looked into for now may be. */
static int missing(int error)
{
    static const int kept[] = {ELOOP, EXDEV, EMFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (error == -kept[i])
            return error;
    return -ENOENT;
}

/* 1: it is a program; 0: something that a program may be beneath; or -errno. */
static int look(int dir, const char *name, enum file_links links)
{
    struct stat st;
    AUTO_CLOSE int fd = file_find(dir, name, links);
    if (fd < 0)
        return missing(fd);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return faccessat(fd, "", X_OK, AT_EMPTY_PATH) < 0 ? -EACCES : 1;
}

int program_find(const struct spawn_def *def, struct slice path, size_t *n)
{
    char name[PROGRAM_PATH_MAX];
    AUTO_CLOSE int dir = file_open_dir(def->directory.p);
    int found = dir < 0 ? missing(dir) : 0;
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

/* Ours alone is not to block. */
static int open_pipe(int *reading, int *writing, const int *ours)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    *reading = ends[0];
    *writing = ends[1];
    return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int program_open_pipes(struct program_pipes *p, bool has_input)
{
    *p = (struct program_pipes){-1, -1, -1, -1};
    int error = open_pipe(&p->output, &p->its_output, &p->output);
    if (!error && has_input)
        error = open_pipe(&p->its_input, &p->input, &p->input);
    if (error)
        program_close_pipes(p);
    return error;
}

void program_share(const struct spawn_def *def, const int *fds, uint32_t count)
{
    if (!def->has_user || def->uid == geteuid())
        return;
    for (uint32_t i = 0; i < count; i++)
        (void)fchmod(fds[i], 0666); /* without, it still has what it inherits */
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void program_close_its_ends(struct program_pipes *p)
{
    close_end(&p->its_output);
    close_end(&p->its_input);
}

void program_close_pipes(struct program_pipes *p)
{
    program_close_its_ends(p);
    close_end(&p->output);
    close_end(&p->input);
}
