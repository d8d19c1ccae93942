/* TLS contexts for listeners, made of what the configuration names and of the files' contents.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_TLS_FRONT_H
#define HOUSE_TLS_FRONT_H

#include "core/listen_conf.h"
#include "house/tls_files.h"
#include "net/tls.h"

struct snapshot;

/* The context of a listener. NULL: diag says what is wrong, and where. */
struct tls_server *tls_front_new(const struct snapshot *s, const struct listen_conf *l,
                                 struct tls_store *store, struct tls_tickets *tickets,
                                 struct config_diag *diag);

/* Whether any TLS setting of the configuration names this file. */
bool tls_names_file(const struct snapshot *s, struct slice path);

#endif
