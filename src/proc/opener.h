/* Opens files for a process that has given up its rights: keys that only root may read can be read
 * again when they are renewed.
 *
 * A child, forked while the rights are still there, waits at a channel for paths. It opens what the
 * owner of the channel may have, as a callback of the parent's says, and sends the descriptor, for
 * reading. Each question brings a socket for its answer, so that several processes (an upgrade's)
 * may ask by one channel. It ends when nobody holds the channel any more.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_OPENER_H
#define PROC_OPENER_H

#include <stdbool.h>
#include <sys/types.h>

/* In the child. */
typedef bool opener_may_fn(void *ctx, const char *path);

/* Answers the channel, or -errno. Before any thread is started. */
int opener_start(opener_may_fn *may, void *ctx);
/* A descriptor, or -errno: -EACCES also where it may not be had. */
int opener_open(int channel, const char *path);

#endif
