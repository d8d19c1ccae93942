/* The addresses the gateway listens on, each with a socket for every worker. They outlive
 * configurations: an address that a new one still names keeps its sockets, and with them the
 * connections that wait in the kernel.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LISTENING_H
#define CORE_LISTENING_H

#include <stdint.h>

#include "base/list.h"
#include "core/listen_conf.h"

struct listener_stats;

struct listening {
    struct list node;
    uint32_t id; /* how workers name it */
    int *fds;    /* by worker; -1 once the worker has it */
    char *text;  /* as configured */
    struct address address;
    bool is_wanted;               /* by the configuration being put in place */
    struct listener_stats *stats; /* by worker */
};

struct listenings {
    struct list list;
    uint32_t last_id, workers;
    struct listener_stats **left; /* of those that are gone: clients still count there */
    uint32_t left_count;
};

void listenings_init(struct listenings *ls, uint32_t workers);
void listenings_fini(struct listenings *ls); /* closes what no worker has taken */

/* Opens what the configuration names and is not open yet, and announces it on stdout; marks what it
 * names no longer. 0 or -errno, logged; then everything is as before. */
int listenings_prepare(struct listenings *ls, const struct listen_conf *confs, uint32_t count);
/* Undoes listenings_prepare(). */
void listenings_revert(struct listenings *ls);
/* Forgets what is not wanted: the workers have been told. */
void listenings_commit(struct listenings *ls);

#endif
