/* The gateway's side of a channel to the spawner, on one loop: starts processes, signals them, is
 * told when they exit. One for each thread that starts any (spawner_channel() opens more).
 *
 * When the spawner dies, every child is reported as exited (`lost`): the kernel has sent them TERM.
 * on_lost is called, and until spawn_reconnect() each start is refused with -ENOTCONN.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_SPAWN_H
#define PROC_SPAWN_H

#include <sys/types.h>

#include "base/list.h"
#include "net/loop.h"
#include "proc/channel.h"

struct spawn_child;

struct spawn_exit {
    int status;         /* exit status, or -1 */
    int signo;          /* that killed it, or 0 */
    bool lost;          /* the spawner went, and nobody knows how it ended */
    uint64_t cpu_us;    /* used by it and the children it waited for */
    uint64_t rss_bytes; /* at most */
};

enum child_state {
    CHILD_NONE,     /* not running: may be started, or freed */
    CHILD_STARTING, /* the spawner has been asked */
    CHILD_RUNNING,
};

/* A process of ours; embedded in what it is for. Neither callback is made from within spawn_start()
 * or spawn_signal(); in both the child may be started again or freed (after on_exited, or an
 * on_started that tells of an error). */
struct spawn_child {
    struct list node;
    enum child_state state;
    uint64_t id;
    pid_t pid;
    /* error: 0, or -errno and how far it came; then it has not started. */
    void (*on_started)(struct spawn_child *c, int error, enum spawn_stage stage);
    void (*on_exited)(struct spawn_child *c, const struct spawn_exit *exit);
};

struct spawn {
    struct channel channel;
    struct list children;
    uint64_t last_id;
    void (*on_lost)(struct spawn *s); /* may be NULL */
    void *ctx;                        /* the owner's */
};

/* fd: a channel, owned from here on, closed on failure; -1: none yet. 0 or -errno. */
int spawn_init(struct spawn *s, struct loop *l, int fd) __attribute__((warn_unused_result));
/* Closes the channel, so that the spawner ends what runs. No callback is made any more. */
void spawn_fini(struct spawn *s);
/* A channel to a new spawner that knows the same definitions. 0 or -errno. */
int spawn_reconnect(struct spawn *s, int fd) __attribute__((warn_unused_result));
bool spawn_is_connected(const struct spawn *s);

void spawn_child_init(struct spawn_child *c);

/* Asks for a process; order->id is ours to set. fds[i] goes to order->targets[i]; they stay the
 * caller's, and may be closed when this returns. 0: on_started will tell. -errno: it will not. */
int spawn_start(struct spawn *s, struct spawn_child *c, struct spawn_order *order, const int *fds)
    __attribute__((warn_unused_result));
/* Signals the child's process group. One that is still starting gets it when it has started. */
void spawn_signal(struct spawn *s, struct spawn_child *c, int signo);
/* Nobody cares any more: KILL, and no callback is made. c may be freed. */
void spawn_abandon(struct spawn *s, struct spawn_child *c);

#endif
