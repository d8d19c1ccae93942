/* The process that forks. It is forked from main before there is any thread, stays single-threaded
 * and small, and is the parent of every application process and CGI program.
 *
 * Who may ask for what: the channel that spawner_start() answers may define what can be run. Once
 * it is sealed (or on every further channel, opened with MESSAGE_CHANNEL) only what has been
 * defined can be started. So a gateway that has dropped its privileges cannot use a spawner that
 * runs as root for anything that is not in the configuration.
 *
 * A child is in a session of its own, with the default signals, no descriptor but the ones it was
 * given, and dies with the spawner. Signals reach its whole group; when an application process
 * exits, what is left of its group is killed. When a channel closes, the processes started by it
 * get TERM, and KILL after SPAWNER_GRACE_MS. With the last channel and child the spawner ends.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_SPAWNER_H
#define PROC_SPAWNER_H

#include <sys/types.h>

#include "proc/message.h"

enum { SPAWNER_GRACE_MS = 5000, SPAWNER_DEFS_MAX = 4096, SPAWNER_CHANNELS_MAX = 2048 };

struct spawner {
    pid_t pid; /* our child: whoever reaps it knows of its death */
    int fd;    /* the channel: non-blocking, close-on-exec */
};

/* Forks the spawner. The caller must have no thread. 0 or -errno; in the spawner it never returns.
 */
int spawner_start(struct spawner *out) __attribute__((warn_unused_result));

/* On the first channel, the only one that is not sealed; these may wait until the spawner has room.
 * 0 or -errno. */
int spawner_define(int channel, const struct spawn_def *def) __attribute__((warn_unused_result));
int spawner_forget(int channel, uint32_t index) __attribute__((warn_unused_result));
/* Opens a further, sealed channel, for another thread or process: its descriptor or -errno. */
int spawner_channel(int channel) __attribute__((warn_unused_result));

#endif
