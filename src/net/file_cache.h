/* Files that are open, kept for a moment so that the next request for one need not open it again.
 *
 * One for each worker, and none of its business is another thread's. An entry counts for
 * conf.valid_ms: as long may a change on disk go unseen; then it is closed, used or not. Small
 * files are kept as a whole, in memory, within a bound. What a chain refers to stays open until it
 * was sent. SPDX-License-Identifier: MIT */
#ifndef NET_FILE_CACHE_H
#define NET_FILE_CACHE_H

#include "base/chain.h"
#include "base/list.h"
#include "base/map.h"
#include "net/file.h"
#include "net/loop.h"

enum { FILE_SMALL = 16 * 1024 }; /* up to here a file is read, not sent from its descriptor */

struct file_cache_conf {
    uint32_t files;        /* open at a time; 0: none is kept */
    uint32_t valid_ms;     /* how long */
    uint64_t memory_bytes; /* for the contents of small ones */
};

struct file_cache {
    struct loop *loop;
    struct map map;     /* of struct file */
    struct list oldest; /* in the order they were opened */
    struct timer sweep;
    size_t memory;  /* bytes of contents */
    int root_error; /* of the newest open that failed: its root could not be opened; 0: it could */
};

/* An open file, or a directory. Counted by its source. */
struct file {
    struct source source;
    int error; /* -ENOENT: it is kept that there is none, and this never leaves the cache; 0 */
    struct file_info info;
    struct buf *content; /* all of it, or NULL */
    struct file_cache *cache;
    struct list node; /* linked: in the cache, which has a reference */
    uint64_t until_ms;
    uint32_t key_bytes;
    char key[];
};

struct file_query {
    struct slice root; /* a directory's path, of the configuration */
    struct slice path; /* beneath it, relative; empty: the directory itself */
    enum file_links links;
    bool keeps_missing; /* also that there is none: for names that others' names are made into */
};

void file_cache_init(struct file_cache *c, struct loop *loop);
/* Every chain must have let go of its files. */
void file_cache_fini(struct file_cache *c);

/* *out: with a reference for the caller, who drops it with file_unref(). 0, or -errno as from
 * file_open(); -EINVAL for a path with a NUL in it. */
int file_cache_open(struct file_cache *c, const struct file_cache_conf *conf,
                    const struct file_query *query, struct file **out)
    __attribute__((warn_unused_result));
/* The same, for what must not be kept: opened anew. */
int file_open_fresh(struct file_cache *c, const struct file_query *query, struct file **out)
    __attribute__((warn_unused_result));

/* Takes the name of a file away that file_open_fresh() has opened, unless it names another by now.
 * 0 or -errno. */
int file_cache_unlink(struct file_cache *c, const struct file_query *query, const struct file *f);

/* A number that goes with n, and that nobody can guess. */
uint64_t file_cache_random(const struct file_cache *c, uint64_t n);

/* All bytes of a file of at most FILE_SMALL, with a reference for the caller; NULL: it is larger,
 * or cannot be read. */
struct buf *file_content(struct file *f, const struct file_cache_conf *conf);

static inline void file_unref(struct file *f)
{
    source_unref(&f->source);
}

#endif
