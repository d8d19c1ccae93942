/* A worker: one thread running one event loop, with the clients it accepted and what it keeps to
 * serve them without malloc. Nothing here is touched by another thread but by loop_post().
 * SPDX-License-Identifier: MIT */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>
#include <stdint.h>

#include "base/list.h"
#include "base/ring.h"
#include "core/snapshot.h"
#include "http/date.h"
#include "http/head.h"
#include "net/listener.h"
#include "net/log_writer.h"
#include "net/loop.h"
#include "net/pipe.h"

struct exchange;
struct gateway;

struct worker {
    struct loop loop;
    uint32_t index;
    struct gateway *gateway;
    const struct snapshot *snapshot;
    struct head_limits limits; /* from the snapshot, in the codecs' form */
    bool stopping;             /* no new clients, no new requests */

    struct list clients;
    uint32_t client_count, client_limit;
    struct listener *listeners;
    uint32_t listener_count;
    struct exchange *spare; /* finished ones, to be used again */
    uint32_t spare_count;
    struct pipe_pool pipes;
    uint64_t next_id;
    struct log_output *access_log; /* NULL: off */
    struct ring ring; /* what happened lately */

    int64_t date_s; /* of date */
    char date[DATE_LEN];

    struct timer summary; /* of what the log has seen too often */
    pthread_t thread;
    struct post stop_post, kill_post;
};

int worker_init(struct worker *w, struct gateway *g, const struct snapshot *snapshot,
                uint32_t index); /* 0 or -errno */
void worker_fini(struct worker *w);
/* Accepts on fd, which it takes over; before the loop runs. */
int worker_listen(struct worker *w, int fd);

/* From another thread. Stop: no new clients, those there are finish what they do, then the loop
 * ends. Kill: it ends now. */
void worker_stop(struct worker *w);
void worker_kill(struct worker *w);

/* client.c: one came, one went. */
void worker_client_joined(struct worker *w);
void worker_client_left(struct worker *w);

/* The current time as an IMF-fixdate, made once a second. */
struct slice worker_date(struct worker *w);

#endif
