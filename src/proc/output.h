/* What a process writes to its stdout and stderr, into the log, line by line.
 *
 *     info pool php [4711] PHP Warning: ...
 *
 * Bounded: a long line is cut into pieces, a flood is read and thrown away by base/log's limit, so
 * that a process never blocks because it says too much.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_OUTPUT_H
#define PROC_OUTPUT_H

#include <sys/types.h>

#include "base/log.h"
#include "net/loop.h"

enum { OUTPUT_LINE_MAX = 1024, OUTPUT_TURN_MAX = 64 * 1024 };

struct output {
    struct watch watch;
    struct deferred again; /* more than a turn's worth was there */
    struct loop *loop;
    struct slice name; /* whose: outlives the output */
    pid_t pid;         /* set by output_start() */
    uint64_t exchange; /* 0: none */
    enum log_level level;
    uint32_t used; /* bytes of a line without an end yet */
    char line[OUTPUT_LINE_MAX];
};

void output_init(struct output *o, struct loop *l, struct slice name, enum log_level level);
/* Makes the pipe: *write_fd (close-on-exec) is for the child, and to be closed here once it has
 * been passed on. 0 or -errno. */
int output_open(struct output *o, int *write_fd) __attribute__((warn_unused_result));
/* The process runs: its lines are logged from here on. 0 or -errno. */
int output_start(struct output *o, pid_t pid) __attribute__((warn_unused_result));
/* Logs what is left in the pipe and closes it. Harmless when it is closed. */
void output_close(struct output *o);

#endif
