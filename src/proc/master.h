/* The process that starts the others: the gateway and, once there are applications to run, the
 * spawner. Holds no client's data, has no thread, and starts again what dies.
 *
 * An upgrade starts another master, with a spawner, a gateway and applications of its own, and
 * hands the gateways a channel to each other. When the old gateway has ended, so do its master and
 * its applications.
 *
 * A reload: the gateway asks the master, who loads the configuration, too, to say what may be run
 * now; the spawner is told, and then the gateway. What has been loaded counts once the gateway says
 * that it is in place.
 *
 * With that the gateway hands over the sockets that listen, so that connections wait in them when
 * it dies. Its applications are ended by the spawner then, and another gateway is started, after a
 * pause (proc/pause.h), and takes them over. The spawner dies: another takes its place and is
 * handed to the gateway over the control socket. The master dies: both end.
 * SPDX-License-Identifier: MIT
 */
#ifndef PROC_MASTER_H
#define PROC_MASTER_H

#include "proc/message.h"

struct handover;

/* What a gateway under a master has. */
struct master_link {
    int channel; /* to the spawner; the gateway's from here on. -1: there is none yet */
    int control; /* new channels come by this socket, see master_receive() */
};

/* What comes by the control socket: channels to ... */
enum master_word {
    MASTER_SPAWNER,   /* a new spawner */
    MASTER_SUCCESSOR, /* another master, whose gateway takes our gateway's place (net/handover.h) */
    MASTER_WORDS
};

struct master_jobs {
    /* Tells a new spawner, at the other end of the channel, what may be run. 0 or -errno. */
    int (*define)(void *ctx, int channel);
    /* A reload: loads the configuration and tells the spawner (-1: there is none) what is new in
     * it. 0 or -errno. */
    int (*redefine)(void *ctx, int channel);
    /* What was loaded last is in place. channel as before. */
    void (*in_place)(void *ctx, int channel);
    /* It never will be: the gateway that was to put it in place has died. */
    void (*drop)(void *ctx, int channel);
    /* What may be run as was loaded last, one after the other, NULL at the end; and where. */
    const struct spawn_def *(*definition)(void *ctx, uint32_t i);
    const char *(*run_dir)(void *ctx);
    /* The gateway, in a process of its own. Answers its exit status. */
    int (*serve)(void *ctx, const struct master_link *link);
    /* In the master: the first gateway has been started. */
    void (*started)(void *ctx);
    /* For gateways to come: the sockets of the one that runs. */
    struct handover *sockets;
    char *const *argv; /* how we were started: an upgrade starts another master so */
    void *ctx;
};

/* Runs a spawner and a gateway until the gateway ends by itself or by a signal to us. The caller
 * has no thread. Answers the exit status. */
int master_run(const struct master_jobs *jobs);

/* Gateway: takes a channel off the control socket. A descriptor, -EAGAIN, -EMFILE (there was no
 * room for it: it is lost), or another -errno: the master is gone. */
int master_receive(int control, enum master_word *word);
/* Gateway: a channel to the spawner was lost; another is to come. 0 or -errno. */
int master_ask_spawner(int control);
/* Gateway: asks what may be run, and waits for the answer, a few seconds at most. on_definition: a
 * message that holds a definition; false: it does not fit. 0 or -errno. */
struct master_listener {
    bool (*on_definition)(void *ctx, struct slice packet);
    bool (*on_run_dir)(void *ctx, struct slice path);
    void *ctx;
};
int master_ask_definitions(int control, const struct master_listener *l);
/* Gateway: what was loaded last is in place, and the sockets to be kept come by this channel
 * (handover_send); it is closed when they have been taken. 0 or -errno. */
int master_ask_keep(int control, int channel);
/* Gateway: another master is to be started; its channel comes by the control socket. 0 or -errno.
 */
int master_ask_upgrade(int control);
/* Gateway: it does not serve in time and is to end. 0 or -errno. */
int master_ask_give_up(int control);

#endif
