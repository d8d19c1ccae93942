/* A configuration at work: a snapshot, and the pools its routes lead to.
 *
 * A request is served by the generation it began under, whatever is loaded meanwhile. Workers count
 * their requests by themselves, so that no cache line is shared for it: each has a tenure of the
 * generation, and only the end of a tenure is told to the main thread. When the last has ended, the
 * generation goes, and the pools that no newer one has.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_GENERATION_H
#define CORE_GENERATION_H

#include "codec/codec.h"
#include "core/app_defs.h"
#include "core/probe.h"
#include "core/snapshot.h"
#include "net/log_writer.h"
#include "pool/pool.h"

struct gateway_pool {
    struct pool pool;
    const struct back_codec *codec;
    uint32_t generations;      /* that have it; the main thread's */
    struct snapshot *snapshot; /* of its configuration; a reference: the newest generation that has
                                * the pool may end before an older one */
    char *name, *protocol;
    bool is_tls;
    struct probes *probes; /* main thread; NULL until the gateway starts them */
};

/* A table of `rate` or `concurrent`; found again by its name. */
struct gateway_limit {
    struct limiter *limiter;
    char *name;
    uint32_t entries;
    uint32_t generations; /* as above */
};

/* Main thread: all but what is const for the workers. */
struct generation {
    uint32_t number;
    uint32_t holds; /* tenures, and one while it is the gateway's newest */
    struct snapshot *snapshot;
    struct gateway_pool **pools; /* as snapshot->pools */
    struct gateway_pool **left;  /* those that the one before has, and this has not */
    uint32_t left_count;
    struct gateway_limit **limits; /* as snapshot->limits */
    struct limiter **limiters;     /* theirs, for the workers */
    struct log_output *access_log; /* NULL: off */
    struct app_defs *app_defs;     /* what may be run: a reference; NULL: nothing */
    struct loop *main_loop;        /* NULL: no worker has had it */
};

/* A worker's hold on a generation. */
struct tenure {
    struct generation *generation;
    uint32_t exchanges; /* the worker's, under this generation */
    bool is_over;       /* a newer one has taken its place at this worker */
    struct post ended;  /* to the main thread */
    struct loop *main_loop;
};

/* With one hold, the caller's. Takes over the snapshot, the log and the definitions. Pools that
 * `from` (may be NULL) has under the same name and protocol are taken along, not yet with their new
 * configuration; others are new, for that many workers. */
struct generation *generation_new(struct snapshot *snapshot, struct log_output *access_log,
                                  struct app_defs *app_defs, const struct generation *from,
                                  uint32_t workers, uint32_t number);
/* Whether the pool at index was taken along. */
bool generation_shares_pool(const struct generation *g, uint32_t index);
/* Gives a pool that was taken along its new configuration. */
void generation_set_conf(struct generation *g, uint32_t index);
/* With the last hold it goes. */
void generation_hold(struct generation *g);
void generation_unhold(struct generation *g);

/* A hold for a worker; main thread. */
struct tenure *tenure_new(struct generation *g, struct loop *main_loop);
/* Worker: a newer one takes its place. */
void tenure_retire(struct tenure *t);

static inline void tenure_enter(struct tenure *t)
{
    t->exchanges++;
}

void tenure_end_(struct tenure *t);
static inline void tenure_leave(struct tenure *t)
{
    if (--t->exchanges == 0 && t->is_over)
        tenure_end_(t);
}

#endif
