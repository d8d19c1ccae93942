/* From a path to what is to be sent: a file, a directory's index, a list of its names, or nothing.
 *
 * The path is in normal form (http/uri.h); what it may reach is decided by the kernel (net/file.h).
 * SPDX-License-Identifier: MIT */
#ifndef STATIC_LOOKUP_H
#define STATIC_LOOKUP_H

#include "net/file_cache.h"
#include "static/files_conf.h"

enum found {
    FOUND_FILE,      /* lookup.file, by lookup.path */
    FOUND_DIRECTORY, /* of which the path lacks the '/' at its end */
    FOUND_LIST,      /* a directory without an index: lookup.file */
    FOUND_NOTHING,   /* lookup.status, .why */
};

struct lookup {
    const struct files_conf *conf;
    struct file_cache *cache;
    const struct file_cache_conf *cache_conf;
    struct arena *arena;
    /* Told of each name that is looked for, and what came of it (0 or -errno). NULL: nobody is. */
    void (*tell)(void *ctx, struct slice name, int error);
    void *ctx;

    struct file *file; /* with a reference; NULL: none */
    struct slice path; /* FOUND_FILE: as a path of the site: the one asked for, or an index */
    struct slice name; /* the same beneath the root */
    bool is_index;
    uint16_t status;
    const char *why;
};

/* path begins with '/'. */
enum found lookup_path(struct lookup *l, struct slice path);
/* Another file beside the one found, its name with this extension: precompressed. NULL: there is
 * none. */
struct file *lookup_sibling(struct lookup *l, struct slice extension);

/* What an error of opening (-errno) means for who asked. */
uint16_t lookup_status(int error, const char **why);

#endif
