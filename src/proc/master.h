/* The process that starts the others when there are applications to run: the spawner and the
 * gateway. Holds no client's data, has no thread, and starts again what dies.
 *
 * An upgrade starts another master, with a spawner, a gateway and applications of its own, and
 * hands the gateways a channel to each other. When the old gateway has ended, so do its master and
 * its applications.
 *
 * The gateway dies: its applications are ended by the spawner, and another gateway is started,
 * after a pause that doubles. The spawner dies: another takes its place and is handed to the
 * gateway over the control socket. The master dies: both end. SPDX-License-Identifier: MIT */
#ifndef PROC_MASTER_H
#define PROC_MASTER_H

/* What a gateway under a master has. */
struct master_link {
    int channel; /* to the spawner; the gateway's from here on */
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
    /* The gateway, in a process of its own. Answers its exit status. */
    int (*serve)(void *ctx, const struct master_link *link);
    /* In the master: the first gateway has been started. */
    void (*started)(void *ctx);
    char *const *argv; /* how we were started: an upgrade starts another master so */
    void *ctx;
};

/* Runs a spawner and a gateway until the gateway ends by itself or by a signal to us. The caller
 * has no thread. Answers the exit status. */
int master_run(const struct master_jobs *jobs);

/* Gateway: takes a channel off the control socket. A descriptor, -EAGAIN, or another -errno: the
 * master is gone. */
int master_receive(int control, enum master_word *word);
/* Gateway: another master is to be started; its channel comes by the control socket. 0 or -errno.
 */
int master_ask_upgrade(int control);

#endif
