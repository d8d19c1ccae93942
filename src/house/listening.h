/* The addresses the gateway listens on, each with a socket for every worker. They outlive
 * configurations: an address that a new one still names keeps its sockets, and with them the
 * connections that wait in the kernel. They outlive the program, too: an upgrade hands them to the
 * next one (net/handover.h).
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_LISTENING_H
#define HOUSE_LISTENING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/listen_conf.h"

struct config_diag;
struct handover;
struct listener_stats;
struct snapshot;
struct tls_server;
struct tls_tickets;

struct listening {
    struct list node;
    uint32_t id; /* how workers name it */
    int *fds;    /* of worker i: i, i + workers, ...; the workers', once they are told */
    uint32_t fd_count;
    bool is_given; /* the workers have been told */
    char *text;    /* as configured */
    struct address address;
    bool is_wanted;               /* by the configuration being put in place */
    struct listener_stats *stats; /* by worker */
    struct tls_server *tls;       /* NULL: plain */
    struct tls_server *next_tls;  /* what it gets if the configuration is put in place */
};

struct listenings {
    struct list list;
    struct handover *handover; /* whose sockets are taken first; NULL: none's */
    uint32_t last_id, workers;
    struct listener_stats **left; /* of those that are gone: clients still count there */
    uint32_t left_count;
    struct tls_tickets *tickets; /* of all TLS listeners */
    struct tls_store *store;     /* where their certificates come from; set by the owner */
    struct config_diag *diag;    /* told what cannot be opened, too; NULL: nobody is; the same */
};

void listenings_init(struct listenings *ls, uint32_t workers);
void listenings_fini(struct listenings *ls); /* closes what no worker has taken */

/* Opens what the configuration names and is not open yet, and announces it on stdout; marks what it
 * names no longer; makes contexts of certificates. 0 or -errno, logged; then everything is as
 * before. */
int listenings_prepare(struct listenings *ls, const struct snapshot *s);
/* Makes the contexts of the configuration in place anew, from the files as they are now. 0 or
 * -errno, logged; then nothing has changed. */
int listenings_renew(struct listenings *ls, const struct snapshot *s);
/* Undoes listenings_prepare(): closes what no worker has been told of. */
void listenings_revert(struct listenings *ls);
/* The contexts that were prepared are the ones in use: before workers are told. */
void listenings_switch_tls(struct listenings *ls);
/* Forgets what is not wanted: the workers have been told of everything. */
void listenings_commit(struct listenings *ls);

/* Hands all sockets to another program. 0 or -errno. */
int listenings_send(const struct listenings *ls, int channel);
/* Sockets for an address that the other program had open already, for count workers at least;
 * NULL: it had not. To be freed. The name begins with kind: several may listen on one address. */
int *listening_inherit(struct handover *h, char kind, const struct address *address,
                       uint32_t workers, uint32_t *count);

#endif
