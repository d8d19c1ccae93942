/* CGI programs as files: which one a path names, and the pipes that are its input and output.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_PROGRAM_H
#define PROC_PROGRAM_H

#include <stddef.h>

#include "proc/message.h"

enum { PROGRAM_PATH_MAX = 4096 };

/* The program of a directory of them that the front of path ("/a/b/c") names, *n bytes of it: the
 * first segment that is no directory ends it. 0, -ENOENT: there is none, -EACCES: it may not be
 * run, -ELOOP or -EXDEV: it is reached by a link that does not count, another -errno: who knows. */
int program_find(const struct spawn_def *def, struct slice path, size_t *n)
    __attribute__((warn_unused_result));

/* Ends of pipes, close-on-exec; -1: closed, or there is none. Ours do not block, the program's do.
 */
struct program_pipes {
    int output, input; /* ours: what it writes, and what it reads */
    int its_output, its_input;
};

/* Without input the program is to have none: it reads /dev/null. 0 or -errno. */
int program_open_pipes(struct program_pipes *p, bool has_input) __attribute__((warn_unused_result));
/* A pipe is its maker's: a program of another user could not open those it is given, as /dev/stdin
 * and the like. Who has none of them cannot find them, whatever their mode. */
void program_share(const struct spawn_def *def, const int *fds, uint32_t count);
/* When it has its ends, ours are all that is wanted. */
void program_close_its_ends(struct program_pipes *p);
void program_close_pipes(struct program_pipes *p);

#endif
