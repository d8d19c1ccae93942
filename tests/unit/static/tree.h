/* A folder of files, with what must not be reached beside its root.
 * SPDX-License-Identifier: MIT */
#ifndef TEST_STATIC_TREE_H
#define TEST_STATIC_TREE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/slice.h"

static char tree_top[64], tree_root[80];

static void tree_path(char *p, size_t n, const char *name)
{
    snprintf(p, n, "%s/%s", tree_root, name);
}

static inline void tree_put(const char *name, const char *text)
{
    char path[256];
    tree_path(path, sizeof(path), name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ssize_t n = write(fd, text, strlen(text));
    if (n != (ssize_t)strlen(text) || close(fd) != 0)
        abort();
    const struct timespec past[2] = {{1000000000, 5}, {1000000000, 5}};
    utimensat(AT_FDCWD, path, past, 0);
}

static inline void tree_dir(const char *name)
{
    char path[256];
    tree_path(path, sizeof(path), name);
    if (mkdir(path, 0755) != 0)
        abort();
}

static inline void tree_link(const char *name, const char *target)
{
    char path[256];
    tree_path(path, sizeof(path), name);
    if (symlink(target, path) != 0)
        abort();
}

/* root/: a.txt dir/index.html dir/b.css sub/ (empty) .hidden fifo, links in out up; secret beside
 * it. */
static int tree_make(void **state)
{
    char path[256];
    (void)state;
    strcpy(tree_top, "/tmp/static_test.XXXXXX");
    if (!mkdtemp(tree_top))
        return -1;
    snprintf(tree_root, sizeof(tree_root), "%s/root", tree_top);
    tree_dir("");
    tree_dir("dir");
    tree_dir("sub");
    tree_put("a.txt", "hello");
    tree_put("a.txt.gz", "packed");
    tree_put(".hidden", "SECRET");
    tree_put("dir/index.html", "index");
    tree_put("dir/b.css", "p{}");
    tree_put("../secret", "SECRET");
    tree_link("in", "a.txt");
    tree_link("dirin", "dir");
    tree_link("out", "../secret");
    tree_link("up", "..");
    tree_link("proc", "/proc/self/root");
    tree_path(path, sizeof(path), "fifo");
    return mkfifo(path, 0644);
}

static int tree_remove(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", tree_top);
    return system(command);
}

#endif
