/* CGI programs as files: which one a path names, and the stream that is its input and output.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_PROGRAM_H
#define PROC_PROGRAM_H

#include <stddef.h>

#include "proc/message.h"

enum { PROGRAM_PATH_MAX = 4096 };

/* The program of a directory of them that the front of path ("/a/b/c") names, *n bytes of it: the
 * first segment that is no directory ends it. 0, -ENOENT: there is none, -EACCES: it may not be
 * run, -ELOOP or -EXDEV: it is reached by a link that does not count. */
int program_find(const struct spawn_def *def, struct slice path, size_t *n)
    __attribute__((warn_unused_result));

/* Two ends of a stream, close-on-exec: ours does not block, the program's does. 0 or -errno. */
int program_stream(int *ours, int *programs) __attribute__((warn_unused_result));

#endif
