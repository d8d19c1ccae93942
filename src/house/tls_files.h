/* The files that TLS is configured with: read when a configuration is put in place and when they
 * have changed, and forgotten when contexts have been made of them.
 *
 * Keys may be root's alone while the gateway is not root: what cannot be opened directly is asked
 * of a helper that still may (proc/opener.h). SPDX-License-Identifier: MIT */
#ifndef HOUSE_TLS_FILES_H
#define HOUSE_TLS_FILES_H

#include <sys/stat.h>

#include "config/diag.h"
#include "config/source.h"

/* How a file looked when it was read; compared, never interpreted. */
struct tls_look {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed, modified;
};

/* What has been read so far. */
struct tls_seen {
    char *path;
    struct tls_look look;
};

struct tls_store {
    int opener; /* the helper's channel; -1: there is none */
    struct tls_seen *seen;
    uint32_t count;
};

void tls_store_fini(struct tls_store *s);
/* Whether any file does not look as it did; a change is reported once. */
bool tls_store_has_changed(struct tls_store *s);
/* What was read has not come into use: the next look finds every file changed. */
void tls_store_forget_looks(struct tls_store *s);

/* What is read while one context is made. */
struct tls_files {
    struct tls_store *store;
    struct config_diag *diag;
    struct slice *texts;
    uint32_t count;
};

/* path: followed by a NUL; an empty one gives an empty text. *text is valid until
 * tls_files_forget(). False: diag says why not. */
bool tls_files_read(struct tls_files *f, struct slice path, struct config_place at,
                    struct slice *text);
/* Nothing of the texts stays in memory. */
void tls_files_forget(struct tls_files *f);

/* Writes what diag holds to the log, line by line. */
void tls_log_diag(struct config_diag *diag);

#endif
