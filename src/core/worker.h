/* A worker: one thread running one event loop, with the clients it accepted and what it keeps to
 * serve them without malloc. Nothing here is touched by another thread but by loop_post().
 * SPDX-License-Identifier: MIT */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/list.h"
#include "base/ring.h"
#include "coding/coder.h"
#include "core/generation.h"
#include "core/snapshot.h"
#include "core/stats.h"
#include "http/date.h"
#include "http/head.h"
#include "net/file_cache.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/pipe.h"
#include "proc/spawn.h"

struct exchange;
struct verifier;
struct tls_server;

struct worker {
    struct loop loop;
    uint32_t index; /* among worker_count, which lie side by side */
    uint32_t worker_count;
    uint32_t spread_at;   /* see spread.c */
    atomic_uint arriving; /* clients that others have handed over and it has not taken yet */
    struct loop *main_loop;
    struct tenure *tenure;           /* of the generation that new requests begin under */
    const struct snapshot *snapshot; /* its snapshot */
    struct head_limits limits;       /* from it, in the codecs' form */
    bool stopping;                   /* no new clients, and their connections end */
    bool is_patient;           /* ... with the next answer, though: nothing is closed before */
    uint32_t unstopped;        /* clients that have not been told yet */
    struct deferred stop_more; /* see clients_stop() */

    struct spawn spawn;   /* for CGI programs; not connected where nothing may be run */
    struct list programs; /* those that run */

    struct list listeners; /* struct worker_listener */
    struct list clients;
    uint32_t client_count, client_limit;
    struct exchange *spare; /* finished ones, to be used again */
    uint32_t spare_count;
    struct verifier *verifier; /* of passwords; all workers' */
    struct pipe_pool pipes;
    struct file_cache files;
    struct coder_pool coders;
    uint64_t next_id;
    struct ring ring; /* what happened lately */
    struct worker_stats stats;

    int64_t date_s; /* of date */
    char date[DATE_LEN];

    struct timer summary; /* of what the log has seen too often */
    pthread_t thread;
    struct post leave_post, stop_post, kill_post;
};

/* 0 or -errno; worker_fini() is due in any case. */
int worker_init(struct worker *w, struct loop *main_loop, uint32_t index, uint32_t count);
/* Its thread has ended, or never begun: lets go of connections, pools and configuration. */
void worker_let_go(struct worker *w);
void worker_fini(struct worker *w);

/* A socket to accept on, taken over; id names it later. */
struct worker_socket {
    uint32_t id;
    int fd;
    struct listener_stats *stats; /* this worker's; outlives it */
    struct tls_server *tls;       /* one reference; NULL: plain */
    struct address address;       /* by which the configuration knows it */
};

/* What a worker has to change when a configuration is put in place. */
struct worker_change {
    struct post post;
    struct worker *worker;
    struct tenure *tenure;
    uint32_t client_limit;
    struct worker_socket *added; /* ours, and so are `removed` and the change itself */
    uint32_t added_count;
    uint32_t *removed; /* ids */
    uint32_t removed_count;
};

/* Carries it out, and frees it. By the worker's own thread, or before that is started. */
void worker_apply(struct worker_change *change);
/* Has the worker do so. */
void worker_send(struct worker_change *change);

/* Connections accepted from here on are encrypted so (NULL: not at all). From the main thread. */
void worker_set_tls(struct worker *w, uint32_t listener_id, struct tls_server *tls);

/* A channel to the spawner, or to another one: by the worker's own thread, or before it is started
 * (direct). */
void worker_set_spawner(struct worker *w, int channel, bool direct);

/* From another thread. Stop: no new clients, those there are finish what they do, then the loop
 * ends. Patient: those that are idle may ask once more; to be followed by one that is not. Kill: it
 * ends now. */
void worker_stop(struct worker *w, bool is_patient);
void worker_kill(struct worker *w);

/* client.c: one came, one went. */
void worker_client_joined(struct worker *w);
void worker_client_left(struct worker *w);

/* The current time as an IMF-fixdate, made once a second. */
struct slice worker_date(struct worker *w);

#endif
