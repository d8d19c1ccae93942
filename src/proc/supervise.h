/* Keeps the processes of one application running: carries out what proc/policy decides, on a loop,
 * through a channel to the spawner.
 *
 * To its owner an app is a set of addresses. Each has a slot number and a capacity, the number of
 * requests it takes at a time; the owner tells, when asked, how many it has.
 *
 * - A process has a socket of its own: each is one address. Requests can be steered, counted and
 *   waited for, so that stopping a process loses none.
 * - `shared`: all accept on one socket: slot 0 is the only address, and its capacity grows and
 *   shrinks with the number of processes.
 *
 * A listening socket that we hold outlives the process: connections made meanwhile wait for the
 * next one, which is started in the same slot if the process has crashed.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_SUPERVISE_H
#define PROC_SUPERVISE_H

#include "net/addr.h"
#include "net/loop.h"
#include "proc/define.h"
#include "proc/policy.h"
#include "proc/spawn.h"
#include "proc/spawn_conf.h"

struct app;

struct app_load {
    uint32_t busy;   /* requests it has now */
    uint64_t served; /* requests it has been given since it was opened, busy ones included */
};

/* Called by the loop's thread, never from within app_wake(). */
struct app_owner {
    void *ctx;
    /* Requests may go to addr, capacity at a time; 0: no new ones. Called again whenever capacity
     * changes. The counts of load() begin at 0 when a slot is opened that was gone. */
    void (*on_address)(void *ctx, uint32_t slot, const struct net_addr *addr, uint32_t capacity);
    /* Nothing answers there any more, until on_address says otherwise. */
    void (*on_gone)(void *ctx, uint32_t slot);
    struct app_load (*load)(void *ctx, uint32_t slot);
    uint32_t (*waiting)(void *ctx); /* requests that have found no capacity */
    void (*on_stopped)(void *ctx);  /* after app_stop(), when the last process is gone */
};

struct app_setup {
    const struct spawn_conf *conf; /* outlives the app */
    struct slice name;             /* the pool's; outlives the app */
    const struct spawn_def *def;   /* the spawner has it; outlives the app */
    const char *run_dir;           /* outlives the app */
    uint32_t first;                /* names of sockets are numbered from it on */
    struct app_owner owner;
};

/* Starts conf->min processes. */
struct app *app_new(struct loop *l, struct spawn *s, const struct app_setup *setup);
/* KILLs what still runs. */
void app_free(struct app *a);

/* From any thread, cheap when repeated: look at the load now. To be called when a request has to
 * wait, and when an address of capacity 0 has become idle. */
void app_wake(struct app *a);
/* Replaces all processes, a few at a time, losing nothing. */
void app_restart(struct app *a);
/* Stops them: owner->on_stopped. */
void app_stop(struct app *a);
/* The spawner is another one (after spawn_reconnect()). */
void app_resume(struct app *a);

/* For the admin interface. */
struct app_view {
    pid_t pid;
    enum proc_state state;
    uint64_t age_ms, served, rss_bytes;
    uint32_t busy;
    struct net_addr addr;
};
uint32_t app_slots(const struct app *a);
bool app_view(const struct app *a, uint32_t slot, struct app_view *view); /* false: no process */

#endif
