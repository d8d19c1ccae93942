/* The files that TLS is configured with: read when a configuration is put in place, and forgotten
 * when contexts have been made of them.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_TLS_FILES_H
#define CORE_TLS_FILES_H

#include "config/diag.h"
#include "config/source.h"

/* How a file is read. 0 or -errno; *text is malloc()ed, with a NUL behind it. */
struct tls_reader {
    int (*read)(void *ctx, const char *path, char **text, size_t *n);
    void *ctx;
};

/* With the process's own rights. */
extern const struct tls_reader tls_read_directly;

/* What is read while one context is made. */
struct tls_files {
    const struct tls_reader *reader;
    struct config_diag *diag;
    struct slice *texts;
    uint32_t count;
};

/* path: followed by a NUL; an empty one gives an empty text. *text is valid until
 * tls_files_forget(). False: diag says why not. */
bool tls_files_read(struct tls_files *f, struct slice path, struct config_place at,
                    struct slice *text);
/* Writes what diag holds to the log, line by line. */
void tls_log_diag(struct config_diag *diag);
/* Nothing of the texts stays in memory. */
void tls_files_forget(struct tls_files *f);

#endif
