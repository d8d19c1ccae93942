/* A pool as configured: its backends, how they are picked, connected to and kept.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_CONF_H
#define POOL_POOL_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"
#include "pool/backend_conf.h"
#include "pool/handoff_conf.h"
#include "pool/health_conf.h"
#include "pool/pool_tls.h"

enum balance_kind {
    BALANCE_ROUND_ROBIN,
    BALANCE_LEAST_CONN,
    BALANCE_RANDOM_TWO,
    BALANCE_EWMA,
    BALANCE_HASH,
    BALANCE_FIRST,
};

/* What of a request BALANCE_HASH hashes. */
enum hash_kind { HASH_CLIENT, HASH_HOST, HASH_PATH, HASH_URI, HASH_HEADER, HASH_COOKIE };

enum all_down { ALL_DOWN_TRY, ALL_DOWN_REFUSE };

/* What is tried again elsewhere, besides statuses; a bit each. */
enum retry_on { RETRY_CONNECT = 1, RETRY_BROKEN = 2, RETRY_TIMEOUT = 4, RETRY_PROTOCOL = 8 };

enum host_mode {
    HOST_KEEP,    /* what the client asked for */
    HOST_BACKEND, /* the backend as it is written */
    HOST_FIXED,   /* pool_conf.host */
};

struct spawn_conf;

struct pool_conf {
    struct slice name;
    struct slice protocol;    /* as written: "http", "https" */
    struct slice codec;       /* the name of the one that speaks it: "http" */
    struct spawn_conf *spawn; /* the application we run for it; NULL: none */
    struct spawn_conf *run;   /* how CGI programs are run; NULL: as the gateway */
    struct backend_conf *backends;
    uint32_t backend_count;
    int balance;                /* enum balance_kind */
    int hash_kind;              /* enum hash_kind: what BALANCE_HASH looks at */
    struct slice hash_name;     /* of the field or cookie */
    struct slice sticky;        /* a cookie of ours names the backend; empty: none does */
    struct slice sticky_secret; /* empty: the pool's name */
    uint32_t slow_ms;           /* slow start; 0: none */

    uint32_t max_conns;       /* connections of the whole pool; 0: no limit */
    uint32_t queue_length;    /* requests that may wait for a slot */
    uint32_t queue_ms;        /* how long */
    uint32_t queue_target_ms; /* longest wait that is no sign of overload; 0: half of queue_ms */

    bool buffer_set;      /* by a `buffer` line; else it is as suits the protocol */
    bool buffer_request;  /* the whole request body is taken before a backend is picked */
    bool buffer_response; /* the response is taken as fast as the backend sends it */
    uint64_t buffer_memory, buffer_file; /* bytes of a body held in memory, and all told */

    uint32_t keep_idle;     /* idle connections kept for each backend */
    uint32_t keep_ms;       /* how long */
    uint32_t keep_requests; /* on one connection; 0: no limit */
    uint32_t keep_age_ms;   /* no request is begun on an older one; 0: no limit */
    bool multiplex;         /* where the protocol can do without: backends are asked */
    uint32_t keep_streams;  /* requests at a time on one that is shared */
    uint32_t h2_head_bytes; /* what a field section of a backend may unpack to */
    uint32_t h2_waiting;    /* answers that a backend may leave unread */
    uint32_t keep_ping_ms;  /* a shared one is silent for so long: asked whether it lives; 0: not */

    uint32_t connect_ms;
    uint32_t race_ms; /* another address of the name is dialled as well after so long; 0: never */
    uint32_t response_ms; /* from the request's last byte to the response head */
    uint32_t idle_ms;     /* between two pieces of a response, or while the backend takes nothing */

    uint32_t request_ms; /* from routing to the response head, all attempts; 0: no limit */

    uint32_t attempts; /* connections tried for a request, the first included */
    uint32_t retry_on; /* enum retry_on */
    struct status_set retry_statuses;
    uint32_t retry_budget; /* retries for a hundred requests; 0: no limit */
    uint32_t hedge_ms;     /* another backend is asked as well after so long; 0: never */
    uint32_t hedge_budget; /* how often, for a hundred requests */

    uint32_t fail_count;     /* failures in a row that take a backend down; 0: none do */
    uint32_t fail_within_ms; /* of each other */
    uint32_t fail_backoff_ms, fail_max_ms; /* how long it is left alone: first, and at most */
    uint32_t eject_errors;                 /* percent of answers; 0: off */
    uint32_t eject_latency_ms;             /* mean; 0: off */
    uint32_t eject_requests;               /* in a window, at least */
    uint32_t eject_window_ms;
    uint32_t eject_share;      /* percent of the backends that may be out */
    uint32_t adaptive_percent; /* of the usual latency that are still good; 0: off */
    uint32_t adaptive_min, adaptive_max;
    uint32_t adaptive_measure_ms; /* between two looks at what is usual */
    int all_down;                 /* enum all_down */
    struct health_conf health;
    struct handoff_conf handoff;

    struct pool_tls_conf tls;

    int proxy_version; /* of the PROXY protocol that backends are told clients by; 0: they are not
                        */
    int host_mode;     /* enum host_mode */
    struct slice host;

    struct config_place at;          /* of the name */
    struct config_place protocol_at; /* line 0: not written */
};

/* What may stand in a pool's block. */
extern const struct key pool_keys[];
/* Names of values: enum balance_kind but BALANCE_HASH, enum hash_kind, enum retry_on. */
extern const struct key_name pool_balances[], pool_hash_kinds[], pool_retries[];

/* Where no `protocol` is written, the first URL says it. */
void pool_conf_guess_protocol(struct pool_conf *pool);
/* Completes the backends once the protocol is known: its default port (0: none) where none was
 * written, and that no URL names another protocol. */
bool pool_conf_finish(struct config_reader *r, struct pool_conf *pool, uint16_t default_port);

#endif
