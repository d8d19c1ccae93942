/* How many processes an application should have, and what is to become of each: a state machine
 * without processes, sockets or a clock.
 *
 * It is told what happens (load, exits, time) and answers with what to do, through act(). slots
 * are numbered from 0; a slot holds one process at a time.
 *
 *   FREE -> STARTING -> WARMING -> READY -> DRAINING -> STOPPING -> KILLING -> FREE
 *
 * Grown by waiting requests, shrunk when idle; a process that is due for renewal is replaced
 * first and stopped when its replacement is ready and its requests are done.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_POLICY_H
#define PROC_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define PROC_STATES(X)                                                                             \
    X(FREE, "free")         /* no process */                                                       \
    X(STARTING, "starting") /* asked for */                                                        \
    X(WARMING, "warming")   /* runs, does not answer yet */                                        \
    X(READY, "ready")       /* serves */                                                           \
    X(DRAINING, "draining") /* gets no more requests; stopped when it has none */                  \
    X(STOPPING, "stopping") /* has been sent TERM */                                               \
    X(KILLING, "killing")   /* has been sent KILL */
enum proc_state {
#define X(name, text) PROC_##name,
    PROC_STATES(X)
#undef X
};
const char *proc_state_name(enum proc_state state);

enum policy_verb {
    POLICY_START, /* start a process in this slot; answer with policy_started() or _failed() */
    POLICY_OPEN,  /* ready: requests may go there */
    POLICY_SHUT,  /* no new requests; those it has go on */
    POLICY_TERM,
    POLICY_KILL,
};

/* why: for the log. */
typedef void policy_act_fn(void *ctx, enum policy_verb verb, uint32_t slot, const char *why);

struct policy_conf {
    uint32_t min, max;     /* processes */
    uint32_t concurrency;  /* requests each serves at a time; at least 1 */
    uint32_t idle_ms;      /* when fewer have been enough for so long, some are stopped; 0: never */
    uint32_t max_requests; /* 0: no limit */
    uint64_t memory_bytes; /* 0: no limit */
    uint64_t age_ms;       /* 0: no limit */
    uint32_t start_ms;     /* from start to ready */
    uint32_t stop_ms;      /* from TERM to KILL */
    uint32_t drain_ms;     /* for requests to end before TERM */
    uint32_t backoff_min_ms, backoff_max_ms;
    bool shared; /* one socket for all: who serves what is unknown, busy counts for slot 0 stand for
                    all, and TERM has to be enough for a process to finish what it does */
};

struct policy_slot {
    enum proc_state state;
    bool is_awaited;    /* FREE: requests wait at its socket */
    uint64_t since_ms;  /* in this state */
    uint64_t start_ms;  /* when it was started */
    bool late;          /* was not ready in time */
    uint32_t busy;      /* requests it has */
    uint64_t served;    /* requests it has been given so far */
    uint64_t rss_bytes; /* when last looked at */
    uint32_t generation;
    const char *renew; /* why it is to be replaced or stopped; NULL: it is not */
};

struct policy {
    struct policy_conf conf;
    policy_act_fn *act;
    void *ctx;
    struct policy_slot *slots;
    uint32_t slot_count; /* conf.max and some for renewals */
    uint32_t waiting;    /* requests without a process */
    uint32_t generation;
    uint32_t failures;  /* in a row */
    uint64_t retry_ms;  /* no start before */
    uint64_t calm_ms;   /* since when fewer processes would do; 0: they would not */
    uint32_t calm_peak; /* processes needed at most since then */
    bool active;        /* requests have come since the turn before */
    bool stopping;
};

void policy_init(struct policy *p, const struct policy_conf *conf, policy_act_fn *act, void *ctx);
void policy_fini(struct policy *p);

/* What the load is now; then policy_turn(). */
void policy_set_waiting(struct policy *p, uint32_t waiting);
void policy_set_load(struct policy *p, uint32_t slot, uint32_t busy, uint64_t served,
                     uint64_t rss_bytes);

/* Whether requests wait at the socket of this slot, which has no process: they want one. */
void policy_set_awaited(struct policy *p, uint32_t slot, bool is_awaited);

/* What has become of an action. policy_exited: also for a process that nobody stopped; answers
 * whether that counts as a failure, so that the next start waits. */
void policy_started(struct policy *p, uint32_t slot, uint64_t now_ms);
void policy_failed(struct policy *p, uint32_t slot, uint64_t now_ms);
void policy_ready(struct policy *p, uint32_t slot, uint64_t now_ms);
bool policy_exited(struct policy *p, uint32_t slot, bool clean, uint64_t now_ms);

/* Replaces all processes, a few at a time. */
void policy_restart(struct policy *p);
/* Stops all; policy_is_empty() when done, or when what is left does not even end by KILL. */
void policy_stop(struct policy *p);
/* The spawner is another one: forget failures, start at once. */
void policy_forgive(struct policy *p);

/* Decides and acts. Answers when to be called again at the latest (it may be sooner). */
uint64_t policy_turn(struct policy *p, uint64_t now_ms);

bool policy_is_empty(const struct policy *p);
uint32_t policy_count(const struct policy *p, enum proc_state state);

#endif
