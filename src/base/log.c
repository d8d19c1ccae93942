/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static const char *const level_names[] = {
    [LEVEL_ERROR] = "error",
    [LEVEL_WARN] = "warn",
    [LEVEL_INFO] = "info",
    [LEVEL_DEBUG] = "debug",
};
enum { LEVELS = sizeof(level_names) / sizeof(level_names[0]) };

static _Atomic(const struct log_sink *) the_sink;
static _Atomic(enum log_level) the_level = LEVEL_INFO;

/* How often a message came in the current second. A place in the code has two slots to choose from;
 * when others have both, it takes over the older, which starts to count anew: an estimate is
 * enough.
 */
struct repeat {
    const char *format;
    int64_t second;
    uint64_t left_out;
    uint32_t count;
    enum log_level level;
};
enum { REPEATS = 64 };
static _Thread_local struct repeat repeats[REPEATS];

void log_set_sink(const struct log_sink *sink)
{
    atomic_store_explicit(&the_sink, sink, memory_order_release);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&the_level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level <= atomic_load_explicit(&the_level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(struct slice s, enum log_level *level)
{
    for (unsigned i = 0; i < LEVELS; i++) {
        if (slice_eq(s, slice_str(level_names[i]))) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void put_text(struct text *t, int64_t wall_us, enum log_level level, uint64_t id,
                     struct slice message)
{
    text_time(t, wall_us);
    text_char(t, ' ');
    text_put(t, slice_str(level_names[level]));
    if (id) {
        text_lit(t, " [");
        text_id(t, id);
        text_char(t, ']');
    }
    text_char(t, ' ');
    text_quoted(t, message, text_left(t) - 1);
    text_char(t, '\n');
}

static void put_json(struct text *t, int64_t wall_us, enum log_level level, uint64_t id,
                     struct slice message)
{
    text_lit(t, "{\"time\":\"");
    text_time(t, wall_us);
    text_lit(t, "\",\"level\":\"");
    text_put(t, slice_str(level_names[level]));
    if (id) {
        text_lit(t, "\",\"id\":\"");
        text_id(t, id);
    }
    text_lit(t, "\",\"message\":\"");
    text_json(t, message, text_left(t) - 3);
    text_lit(t, "\"}\n");
}

static void write_line(const struct log_sink *sink, enum log_level level, uint64_t id,
                       struct slice message)
{
    char line[LOG_LINE_MAX];
    struct text t = text_of(line, sizeof(line));
    if (sink->format == LOG_JSON)
        put_json(&t, sink->wall_us(), level, id, message);
    else
        put_text(&t, sink->wall_us(), level, id, message);
    sink->write(sink->ctx, level, text_slice(&t));
}

/* The format stands for all the messages that were made with it, an asterisk for what differs. */
static void put_format(struct text *t, const char *format)
{
    for (const char *p = format; *p; p++) {
        text_char(t, *p == '%' ? '*' : *p);
        if (*p == '%')
            while (p[1] && !strchr("diuxXcsp%", *++p))
                ;
    }
}

static void summarise(const struct log_sink *sink, struct repeat *r)
{
    uint64_t left_out = r->left_out;
    r->left_out = 0;
    if (!left_out)
        return;
    char message[256];
    struct text t = text_of(message, sizeof(message));
    text_dec(&t, left_out);
    text_lit(&t, " more like this were left out: ");
    put_format(&t, r->format);
    write_line(sink, r->level, 0, text_slice(&t));
}

static struct repeat *find_repeat(const char *format)
{
    struct repeat *r = &repeats[((uintptr_t)format * 0x9e3779b97f4a7c15u) >> 58];
    struct repeat *other = &repeats[(r - repeats) ^ 1];
    if (r->format == format || other->format == format)
        return r->format == format ? r : other;
    return r->second <= other->second ? r : other;
}

/* Whether this message may be written, or is one too many and was counted. */
static bool admit(const struct log_sink *sink, enum log_level level, uint32_t burst,
                  const char *format)
{
    if (level == LEVEL_DEBUG)
        return true; /* who asks for everything gets everything */
    int64_t second = sink->wall_us() / 1000000;
    struct repeat *r = find_repeat(format);
    if (r->format != format || r->second != second) {
        summarise(sink, r);
        *r = (struct repeat){.format = format, .second = second, .level = level};
    }
    if (r->count < burst) {
        r->count++;
        return true;
    }
    r->left_out++;
    return false;
}

static void put(enum log_level level, uint64_t id, uint32_t burst, const char *format, va_list args)
{
    const struct log_sink *sink = atomic_load_explicit(&the_sink, memory_order_acquire);
    if (!sink || !log_enabled(level) || !admit(sink, level, burst, format))
        return;
    char message[LOG_LINE_MAX];
    int n = vsnprintf(message, sizeof(message), format, args);
    size_t length = n < 0 ? 0 : (size_t)n;
    write_line(sink, level, id,
               slice_of(message, length < sizeof(message) ? length : sizeof(message) - 1));
}

void log_at(enum log_level level, uint64_t id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(level, id, LOG_BURST, format, args);
    va_end(args);
}

void log_said(enum log_level level, uint64_t id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(level, id, LOG_SAID_BURST, format, args);
    va_end(args);
}

void log_summarise(bool all)
{
    const struct log_sink *sink = atomic_load_explicit(&the_sink, memory_order_acquire);
    if (!sink)
        return;
    int64_t second = sink->wall_us() / 1000000;
    for (unsigned i = 0; i < REPEATS; i++) {
        if (all || repeats[i].second != second)
            summarise(sink, &repeats[i]);
    }
}
