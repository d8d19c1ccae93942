/* Files to be read for others: the only place that opens them by a name a peer has a say in.
 *
 * Such a name is resolved by the kernel beneath the descriptor of a directory (openat2), so that no
 * spelling, no link and no race leads out of it; nobody compares paths. Opening never waits for a
 * FIFO's writer, and what is neither a regular file nor a directory is not opened at all.
 * SPDX-License-Identifier: MIT */
#ifndef NET_FILE_H
#define NET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

/* What symbolic links beneath the directory are worth. */
#define FILE_LINKS(X)                                                                              \
    X(ON, "on", "they are followed as long as they stay beneath the root")                         \
    X(OWNER, "owner", "the same, if link and target belong to the same user")                      \
    X(OFF, "off", "what is reached by one is not there")                                           \
    X(FOLLOW, "follow", "they are followed wherever they lead")
enum file_links {
#define X(name, text, help) FILE_LINKS_##name,
    FILE_LINKS(X)
#undef X
        FILE_LINKS_KINDS
};

struct file_info {
    uint64_t size, inode, device;
    int64_t mtime_ns, ctime_ns; /* since the epoch */
    bool is_dir;
};

/* The directory of this path, which is the configuration's, as something to open beneath. The
 * descriptor or -errno. */
int file_open_dir(const char *path) __attribute__((warn_unused_result));

/* path: relative, without ".." but for links. The descriptor, for reading, or -errno: -ELOOP and
 * -EXDEV for links that do not count, -ENXIO for what is neither file nor directory. */
int file_open(int dir, const char *path, enum file_links links, struct file_info *info)
    __attribute__((warn_unused_result));

/* The same as a place, of whatever kind, which it takes no right to read. */
int file_find(int dir, const char *path, enum file_links links) __attribute__((warn_unused_result));
/* Whether a part of the path begins with a dot, /.well-known at its start aside: what is beneath
 * that is there to be found (RFC 8615). path: relative. */
bool file_is_hidden(struct slice path);

/* Of a descriptor that is open. 0 or -errno, as for file_open(). */
int file_look(int fd, struct file_info *info) __attribute__((warn_unused_result));
/* n bytes from offset; false: there are not as many, or they cannot be read. */
bool file_read(int fd, char *p, size_t n, off_t offset) __attribute__((warn_unused_result));
/* What is in a directory, in no order: name and kind, "." and ".." left out, and what is neither
 * file, directory nor link. Stops when each answers false. 0 or -errno. */
enum file_kind { FILE_PLAIN, FILE_DIRECTORY, FILE_LINK };
typedef bool file_each_fn(void *ctx, const char *name, enum file_kind kind,
                          const struct file_info *info);
int file_list(int dir, file_each_fn *each, void *ctx);
/* Whether this path, which needs not lead anywhere, goes through something that is no directory as
 * if it were one: /a/photo.jpg/b. */
bool file_is_beneath_file(const char *path);
/* Takes the name away, where it still names this very file. 0 or -errno. */
int file_unlink(int dir, const char *path, const struct file_info *info);

#endif
