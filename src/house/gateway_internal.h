/* What the files of the gateway share: gateway.c starts and stops it, gateway_load.c puts
 * configurations in place, gateway_tls.c follows certificates, gateway_apps.c talks with the
 * master, gateway_upgrade.c gives way to another program, gateway_run.c is what a process begins
 * with. SPDX-License-Identifier: MIT */
#ifndef HOUSE_GATEWAY_INTERNAL_H
#define HOUSE_GATEWAY_INTERNAL_H

#include "house/apps.h"
#include "house/gateway.h"
#include "house/give_back.h"
#include "house/names.h"
#include "house/tls_files.h"
#include "house/upgrade.h"
#include "net/handover.h"
#include "proc/master.h"

enum gateway_phase {
    GATEWAY_SERVES,
    GATEWAY_LEAVES, /* another serves: clients may stay for a while */
    GATEWAY_STOPS,
    GATEWAY_BREAKS_OFF
};

struct gateway {
    const struct gateway_source *source;
    const struct gateway_service *service;
    void *service_state;
    struct loop loop; /* the main thread's */
    struct watch signals;
    struct timer stop_deadline;
    struct timer summary;
    struct give_back memory;
    struct log_writer *log_writer;
    struct log_output *error_log;
    struct listenings listenings;
    const struct master_link *link; /* NULL: nothing can be run, and there is no master */
    struct app_defs *first_defs; /* what may be run at first: a reference, until it is in place */
    struct apps *apps;           /* likewise */
    struct watch control;        /* from the master; fd -1: there is none, or it is gone */
    struct timer spawner_again;  /* no descriptor was left for a channel to it */
    struct tls_store tls_store;
    struct timer renewal;      /* of certificates */
    struct handover *handover; /* sockets of a gateway whose place we take */
    struct upgrade upgrade;    /* by one that takes ours */
    struct names *names;
    struct generation *current;
    uint32_t generations;      /* put in place so far */
    struct verifier *verifier; /* of passwords, for the workers */
    struct worker *workers;
    uint32_t worker_count;
    bool are_running; /* the workers' threads */
    enum gateway_phase phase;
    atomic_uint running;
    struct post ended;
};

/* What a gateway process begins with. */
struct beginning {
    const struct gateway_source *source;
    const struct gateway_service *service;
    struct snapshot *snapshot; /* in place, or to be put in place first */
    struct app_defs *defs;     /* of it; NULL: nothing can be run */
    struct app_defs *before;   /* what a reload has replaced and requests may still want */
    struct snapshot *loaded;   /* by a reload that is not in place yet, or NULL */
    struct app_defs *expected; /* of it */
    struct handover handover;
};

/* ctx: a beginning. With what it holds, from start to stop; answers the process's exit status. */
int gateway_serve(void *ctx, const struct master_link *link);

/* Logs what has failed, and answers why. */
int gateway_failed(const char *what, int error);

/* Takes over the snapshot and the definitions. 0 or -errno, logged; then nothing has changed. */
int gateway_put_in_place(struct gateway *g, struct snapshot *s, struct app_defs *defs);
void gateway_reload_by_signal(struct gateway *g);

/* Contexts for all pools, NULL for those that are plain. 0, or -EINVAL: one cannot be made, which
 * is logged. */
int gateway_make_tls(struct gateway *g, const struct snapshot *s, struct tls_client ***all);
void gateway_drop_tls(struct tls_client **tls, uint32_t count);
void gateway_watch_certificates(struct gateway *g);
void gateway_on_renewal(struct timer *t);
/* A helper that reads what only the user who starts us may read. While there is no thread yet. */
int gateway_start_opener(struct gateway *g, const struct gateway_conf *conf);
/* The gateway before us had one, and the rights to start it. */
void gateway_inherit_opener(struct gateway *g);
/* For the one after us; 0 or -errno. */
int gateway_send_opener(const struct gateway *g, int channel);

int gateway_open_apps(struct gateway *g);
void gateway_on_spawner_again(struct timer *t);
/* What s lets us run, as the master says, in *defs (NULL: nothing). False, with the reason in diag.
 */
bool gateway_ask_definitions(struct gateway *g, struct snapshot *s, struct app_defs **defs,
                             struct config_diag *diag);

/* Tells the master what is in place, and has it keep the sockets that listen: all that are wanted,
 * or, when no more connections are to come, none. A failure is logged; it costs no more than that.
 */
void gateway_keep_sockets(struct gateway *g, bool all);

/* The jobs of struct upgrade. */
int gateway_send_sockets(void *ctx, int channel);
void gateway_give_up(void *ctx);
void gateway_on_upgraded(void *ctx, const char *why);
void gateway_upgrade_by_signal(struct gateway *g);

#endif
