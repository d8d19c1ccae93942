/* Small files as a whole.
 * SPDX-License-Identifier: MIT */
#ifndef NET_WHOLE_FILE_H
#define NET_WHOLE_FILE_H

#include <stddef.h>

#include "base/slice.h"

/* 0 and *text, malloc()ed, n bytes and a NUL; or -errno: -EFBIG beyond max. */
int whole_file_read(const char *path, size_t max, char **text, size_t *n);
/* The same of an open file. */
int whole_file_read_fd(int fd, size_t max, char **text, size_t *n);
/* Puts the file in place at once: a reader, and a crash at any moment, find the old one or the new
 * one. It is on the disk when this returns. 0 or -errno. */
int whole_file_write(const char *path, struct slice text);
/* Renames it to "PATH.bad". 0 or -errno. */
int whole_file_set_aside(const char *path);

#endif
