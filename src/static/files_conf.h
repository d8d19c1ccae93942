/* How files are served: the block of a route's `files`.
 * SPDX-License-Identifier: MIT */
#ifndef STATIC_FILES_CONF_H
#define STATIC_FILES_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"
#include "static/type.h"

/* Codings that may lie beside a file, ready made. */
enum precompressed {
    PRECOMPRESSED_BR,
    PRECOMPRESSED_ZSTD,
    PRECOMPRESSED_GZIP,
    PRECOMPRESSED_KINDS
};

struct files_conf {
    struct slice root;   /* the directory, without '/' at its end but for "/" */
    struct slice *index; /* names for a path that ends in '/' */
    uint32_t index_count;
    struct slice strip; /* the front part of paths that is not beneath the root */

    struct slice else_path; /* where a request goes that no file answers */
    bool else_next;         /* to the routes behind this one, with the path it has */
    uint16_t else_status;   /* what it is answered with if neither is so */

    int links; /* enum file_links */
    bool dotfiles, listing;
    uint32_t listing_entries;
    uint32_t ranges; /* of one request; 0: none is served */
    enum precompressed precompressed[PRECOMPRESSED_KINDS];
    uint32_t precompressed_count;

    struct slice charset, default_type;
    struct type *given, *read; /* types of the configuration's own, and of its file */
    uint32_t given_count, read_count;
    struct types types;
    struct slice cache_control;
    uint32_t expires_s;
    bool has_expires;
};

extern const struct key files_keys[];
/* The words of `files else /PATH`, `files else next` and `files else STATUS`. */
key_set_fn files_conf_set;
/* Once root and index are known, and everything is read. */
void files_conf_finish(struct config_reader *r, struct files_conf *conf);

struct slice precompressed_name(enum precompressed kind);      /* as a coding: "gzip" */
struct slice precompressed_extension(enum precompressed kind); /* ".gz" */

#endif
