/* Gets log lines to their files without ever making a worker wait.
 *
 * Each worker has a lane: a ring of bytes that it alone fills, without locks or system calls. One
 * writer thread empties all lanes with writev. It is woken by the first line after a quiet time
 * and by a lane that is half full; otherwise it looks every LOG_WRITER_NAP_MS. A line that finds
 * its lane full is dropped and counted, and the count is logged.
 *
 * Threads without a lane (main) share one under a lock.
 * SPDX-License-Identifier: MIT */
#ifndef NET_LOG_WRITER_H
#define NET_LOG_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/slice.h"

struct log_writer;
struct log_output; /* an open file */

enum { LOG_WRITER_NAP_MS = 20, LOG_LANE_BYTES = 256 * 1024 };

/* Starts the thread. lane_bytes: a power of two; 0: LOG_LANE_BYTES. NULL: *error is -errno. */
struct log_writer *log_writer_new(size_t lane_bytes, int *error);
/* Writes what is waiting, closes the files and ends the thread. Gives up on a file that has not
 * taken anything for two seconds. No thread may put lines any more. */
void log_writer_free(struct log_writer *w);

/* path: a file to append to, or "stdout" or "stderr". The same path gives the same output, counted.
 * NULL: *error is -errno. From any thread but not from the hot path. */
struct log_output *log_output_open(struct log_writer *w, const char *path, int *error);
/* Closed once its lines are written, when everybody has closed it. */
void log_output_close(struct log_output *o);

/* Gives the calling thread a lane of its own until log_writer_detach(). */
void log_writer_attach(struct log_writer *w);
void log_writer_detach(struct log_writer *w);

/* Hands over a line (with its \n). Never blocks; may drop. */
void log_writer_put(struct log_output *o, struct slice line);

/* base/log goes to o from here on (NULL: nowhere). Drops are reported there too. The first call
 * decides the format. */
void log_writer_install(struct log_writer *w, struct log_output *o, enum log_format format);

/* Opens all files again by their paths (for logrotate). Async-signal-safe. */
void log_writer_reopen(struct log_writer *w);
/* Returns when every line put before has been written, or after timeout_ms. */
void log_writer_flush(struct log_writer *w, uint32_t timeout_ms);
/* Lines dropped so far, for the metrics. */
uint64_t log_writer_dropped(const struct log_writer *w);

#endif
