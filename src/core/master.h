/* The process that starts the others when there are applications to run: the spawner and the
 * gateway. Holds no client's data, has no thread, and starts again what dies.
 *
 * The gateway dies: its applications are ended by the spawner, and another gateway is started, after
 * a pause that doubles. The spawner dies: another takes its place and is handed to the gateway over
 * the control socket. The master dies: both end.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_MASTER_H
#define CORE_MASTER_H

#include "core/app_defs.h"

/* What a gateway under a master has. */
struct master_link {
    const struct app_defs *defs;
    int channel; /* to the spawner; the gateway's from here on */
    int control; /* new channels come by this socket, see master_receive() */
};

/* Runs serve(ctx, link) in a process of its own, with a spawner that knows defs, until it ends by
 * itself or by a signal to us. Answers its exit status. */
int master_run(const struct app_defs *defs, int (*serve)(void *ctx, const struct master_link *link),
               void *ctx);

/* Gateway: takes a channel to a new spawner off the control socket. A descriptor, -EAGAIN, or
 * another -errno: the master is gone. */
int master_receive(int control);

#endif
