/* A pool as configured: its backends, how they are picked, connected to and kept.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_CONF_H
#define POOL_POOL_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"

enum balance_kind { BALANCE_ROUND_ROBIN };
enum host_mode {
    HOST_KEEP,    /* what the client asked for */
    HOST_BACKEND, /* the backend as it is written */
    HOST_FIXED,   /* pool_conf.host */
};

struct spawn_conf;

/* One `backend` line. A host name becomes a backend for each of its addresses. */
struct backend_conf {
    struct endpoint endpoint;
    struct slice program; /* CGI: a directory or a program; then there is no endpoint */
    struct slice scheme; /* of a URL; empty else */
    struct slice text;   /* "host:port", "[v6]:port" or "unix:/path": for logs and HOST_BACKEND */
    uint32_t weight;     /* 1..1000 */
    uint32_t max_conns;  /* for each address; 0: no limit */
    struct config_place at;
};

struct pool_conf {
    struct slice name;
    struct slice protocol; /* a codec's name: "http" */
    struct spawn_conf *spawn; /* the application we run for it; NULL: none */
    struct spawn_conf *run;   /* how CGI programs are run; NULL: as the gateway */
    struct backend_conf *backends;
    uint32_t backend_count;
    int balance; /* enum balance_kind */

    uint32_t max_conns;    /* connections of the whole pool; 0: no limit */
    uint32_t queue_length; /* requests that may wait for a slot */
    uint32_t queue_ms;     /* how long */

    bool buffer_set;      /* by a `buffer` line; else it is as suits the protocol */
    bool buffer_request;  /* the whole request body is taken before a backend is picked */
    bool buffer_response; /* the response is taken as fast as the backend sends it */
    uint64_t buffer_memory, buffer_file; /* bytes of a body held in memory, and all told */

    uint32_t keep_idle;     /* idle connections kept for each backend */
    uint32_t keep_ms;       /* how long */
    uint32_t keep_requests; /* on one connection; 0: no limit */

    uint32_t connect_ms;
    uint32_t response_ms; /* from the request's last byte to the response head */
    uint32_t idle_ms;     /* between two pieces of a response, or while the backend takes nothing */

    uint32_t attempts; /* connections tried for a request, the first included */
    int host_mode;     /* enum host_mode */
    struct slice host;

    struct config_place at;          /* of the name */
    struct config_place protocol_at; /* line 0: not written */
};

/* What may stand in a pool's block. */
extern const struct key pool_keys[];

/* Where no `protocol` is written, the first URL says it. */
void pool_conf_guess_protocol(struct pool_conf *pool);
/* Completes the backends once the protocol is known: its default port (0: none) where none was
 * written, and that no URL names another protocol. */
bool pool_conf_finish(struct config_reader *r, struct pool_conf *pool, uint16_t default_port);

#endif
