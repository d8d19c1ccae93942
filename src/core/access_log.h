/* One line for each exchange: who asked what, what was answered, where the time went, who ended
 * it. Formats a plain record into the caller's memory; knows neither files nor the exchange.
 *
 * combined: the NCSA combined format that every tool reads, then the rest as key=value.
 * json: one object.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ACCESS_LOG_H
#define CORE_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum access_format { ACCESS_COMBINED, ACCESS_JSON };

enum access_end { END_COMPLETE, END_CLIENT, END_BACKEND, END_GATEWAY }; /* who broke it off */

enum access_phase {
    PHASE_HEAD,    /* first byte of the request to the end of its head */
    PHASE_QUEUE,   /* waiting for a slot */
    PHASE_CONNECT, /* connecting to the backend that answered */
    PHASE_FIRST,   /* request sent on, to the end of the response head */
    PHASE_TOTAL,   /* first byte of the request to the last of the response */
    ACCESS_PHASES,
};

/* An empty slice is shown as "-" or left out. */
struct access_record {
    int64_t wall_us;     /* when the request began; microseconds since the epoch */
    uint64_t id;         /* the exchange's, as in the error log */
    struct slice client; /* address without port */
    struct slice user;
    struct slice method, target;
    struct slice version; /* "HTTP/1.1" */
    struct slice host;
    uint16_t status;         /* 0: no response was sent */
    uint64_t sent_bytes;     /* body bytes to the client, without framing */
    uint64_t received_bytes; /* body bytes of the client */
    struct slice referer, user_agent;
    struct slice pool, backend;
    uint32_t attempts;               /* 0: no backend was asked */
    int64_t phase_us[ACCESS_PHASES]; /* -1: not reached */
    enum access_end ended_by;
    struct slice end_reason; /* "reset by the client while sending the response" */
};

enum { ACCESS_LINE_MAX = 16384, ACCESS_LINE_MIN = 4096 };

/* Writes a line with its \n at p; n is at least ACCESS_LINE_MIN. Long fields are cut so that the
 * line always fits and is always complete. Answers its length. */
size_t access_log_put(char *p, size_t n, enum access_format format, const struct access_record *r);

const char *access_end_name(enum access_end end); /* "complete" "client" "backend" "gateway" */
bool access_format_parse(struct slice s, enum access_format *format); /* "combined" "json" */

#endif
