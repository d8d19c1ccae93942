/* The gateway process from start to stop: workers, listeners, logs, and the configuration in place.
 *
 * The main thread keeps the house: it opens, starts, reloads and stops, follows the backends' names
 * and handles signals, all on a loop of its own. Requests are the workers'.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_GATEWAY_H
#define HOUSE_GATEWAY_H

#include "core/generation.h"
#include "core/snapshot.h"
#include "core/worker.h"
#include "house/apps.h"
#include "house/listening.h"

/* Where configurations come from. NULL with errors in diag. */
struct gateway_source {
    struct snapshot *(*load)(void *ctx, struct config_diag *diag);
    void *ctx;
    bool changes;      /* it may want applications at a reload */
    char *const *argv; /* how the program was started: an upgrade starts it like that again */
};

struct gateway;
struct handover;

/* What is run on the main loop beside the workers; core does not know what it is. All is called by
 * the main thread. */
struct gateway_service {
    /* The first configuration is in place; nothing is served yet. NULL: it cannot, and has logged
     * why. */
    void *(*start)(struct gateway *g);
    void (*reloaded)(void *service); /* another configuration is in place */
    /* An upgrade: hands its sockets over (0 or -errno); how it has ended. why NULL: the other
     * program serves, and it listens no longer. */
    int (*send)(void *service, int channel);
    void (*upgraded)(void *service, const char *why);
    void (*stop)(void *service); /* the workers have ended */
};

/* Serves what source gives until a signal ends it. Answers the process's exit status. */
int gateway_run(const struct gateway_source *source, const struct gateway_service *service);

/* Worker threads that a gateway of this configuration has. */
uint32_t gateway_threads(const struct gateway_conf *conf);

/* Main thread. Puts a new configuration in place: connections, queues and the state of pools that
 * are in both go on. False, with the reasons in diag and the log: the old one goes on serving. */
bool gateway_reload(struct gateway *g, struct config_diag *diag);
/* Graceful; the second time, at once. */
void gateway_stop(struct gateway *g);
/* Starts the program anew, which may be another by now, and has it take our place; the service is
 * told how that ends. NULL, or why it cannot begin. */
const char *gateway_upgrade(struct gateway *g);

/* Main thread, read only: what is in place. */
const struct generation *gateway_generation(const struct gateway *g);
struct loop *gateway_loop(struct gateway *g);
struct worker *gateway_workers(struct gateway *g, uint32_t *count);
const struct listenings *gateway_listenings(const struct gateway *g);
struct apps *gateway_apps(struct gateway *g); /* NULL: there are none */
/* Sockets that were handed to us and nobody has taken yet. */
struct handover *gateway_handover(struct gateway *g);

#endif
