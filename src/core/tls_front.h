/* TLS contexts for listeners, made of what the configuration names and of the files' contents.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_TLS_FRONT_H
#define CORE_TLS_FRONT_H

#include "config/diag.h"
#include "core/listen_conf.h"
#include "net/tls.h"

struct snapshot;

/* How a file is read. 0 or -errno; *text is malloc()ed. */
struct tls_reader {
    int (*read)(void *ctx, const char *path, char **text, size_t *n);
    void *ctx;
};

/* Reads with the process's own rights. */
extern const struct tls_reader tls_read_directly;

/* The context of a listener. NULL: diag says what is wrong, and where. */
struct tls_server *tls_front_new(const struct snapshot *s, const struct listen_conf *l,
                                 const struct tls_reader *reader, struct tls_tickets *tickets,
                                 struct config_diag *diag);

#endif
