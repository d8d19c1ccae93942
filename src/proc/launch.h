/* Turns a definition and an order into a running process: what the spawner does between fork and
 * exec, and what it prepares before.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_LAUNCH_H
#define PROC_LAUNCH_H

#include <sys/types.h>

#include "proc/message.h"

/* The spawner keeps these descriptors occupied, so that none it receives lies among those that a
 * child's are moved to; the last of them with /dev/null. */
enum { LAUNCH_FDS = MESSAGE_TARGET_FD_MAX + 1 };

/* fds: those of the order. Answers the process, whose exec has succeeded, or -errno; *stage says
 * how far it came. No descriptor is closed. Single-threaded processes only. */
pid_t launch(const struct spawn_def *def, const struct spawn_order *order, const int *fds,
             enum spawn_stage *stage) __attribute__((warn_unused_result));

#endif
