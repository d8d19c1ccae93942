/* What happened, for people: one line each, with the exchange it belongs to.
 *
 * Base makes no system call, so a line goes to a sink that somebody who may has installed (net's
 * log_writer); without one nothing is written. A level that is off costs a call and a comparison:
 * nothing is formatted. The same message over and over (same place in the code, more than
 * LOG_BURST times in a second) is counted and summed up in one line instead.
 *
 *     log_warn(x->id, "backend %s refused: %s", name, strerror(-error));
 *     2026-07-04T12:34:56.789Z warn [00000000c0ffee01] backend 10.0.0.9:80 refused: ...
 *
 * Log an error once, where it is decided; below that, return it.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };
enum { LOG_LINE_MAX = 2048, LOG_BURST = 20, LOG_SAID_BURST = 1000 };
enum log_format { LOG_TEXT, LOG_JSON };

/* line ends in \n and is valid during the call; called by any thread, at the same time. */
typedef void log_write_fn(void *ctx, enum log_level level, struct slice line);
/* Microseconds since the epoch. */
typedef int64_t log_clock_fn(void);

struct log_sink {
    log_write_fn *write;
    log_clock_fn *wall_us;
    void *ctx;
    enum log_format format;
};

/* Installs where lines go; sink must outlive its use. NULL: nowhere. */
void log_set_sink(const struct log_sink *sink);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
const char *log_level_name(enum log_level level);
bool log_level_parse(struct slice s, enum log_level *level); /* "error" "warn" "info" "debug" */

/* id: of the exchange, 0 where there is none. The format is a literal: its address names the
 * message when repetitions are counted. */
void log_at(enum log_level level, uint64_t id, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

/* The same for what an application says: every line is news, so that there may be many. */
void log_said(enum log_level level, uint64_t id, const char *format, ...)
    __attribute__((cold, format(printf, 3, 4)));

#define log_error(id, ...) log_at(LEVEL_ERROR, id, __VA_ARGS__)
#define log_warn(id, ...)  log_at(LEVEL_WARN, id, __VA_ARGS__)
#define log_info(id, ...)  log_at(LEVEL_INFO, id, __VA_ARGS__)
#define log_debug(id, ...) log_at(LEVEL_DEBUG, id, __VA_ARGS__)

/* Writes the summaries of floods that are over and happened on this thread: to be called about
 * once a second by whoever has a timer, and (all: also of those still going on) before it ends. */
void log_summarise(bool all);

#endif
