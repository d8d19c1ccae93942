/* How backends are probed: the `health` line of a pool.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_HEALTH_CONF_H
#define POOL_HEALTH_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "config/schema.h"

enum health_kind {
    HEALTH_OFF,
    HEALTH_TCP,     /* a connection is enough */
    HEALTH_REQUEST, /* a request in the pool's protocol */
    HEALTH_VALUES,  /* FastCGI's GET_VALUES (4.1) */
};

/* A set of status codes. */
struct status_set {
    uint64_t bits[10];
};

static inline bool status_set_has(const struct status_set *s, unsigned status)
{
    return status < 640 && (s->bits[status / 64] >> status % 64 & 1);
}

/* Adds "200", "200-399" or "5xx"; false: it is none of them. */
bool status_set_add(struct status_set *s, struct slice text);

struct health_conf {
    enum health_kind kind;
    struct slice method, path;
    struct slice host; /* for the Host field; empty: the backend's own */
    uint32_t interval_ms, fast_ms, timeout_ms;
    uint32_t rise, fall;
    struct status_set statuses;
    struct slice match;                     /* the body has it; empty: whatever */
    struct slice header_name, header_value; /* the response has it; no value: any */
    bool has_value;
};

extern const struct key health_options[];
key_set_fn health_conf_set;
key_open_fn health_conf_open;

#endif
