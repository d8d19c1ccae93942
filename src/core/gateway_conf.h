/* Settings of the whole gateway: the `gateway` block.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_GATEWAY_CONF_H
#define CORE_GATEWAY_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "codec/h2.h"
#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"
#include "core/access_log.h"
#include "net/file_cache.h"

/* One `admin` line. */
struct admin_conf {
    struct address address;
    struct slice text;  /* as written */
    struct slice token; /* empty: none is needed, as only the owner of the socket gets in */
    struct config_place at;
};

/* Where a trusted proxy says who its client is. */
enum client_from { CLIENT_FROM_X_FORWARDED_FOR, CLIENT_FROM_FORWARDED };

struct gateway_conf {
    uint32_t threads;  /* 0: one for each core */
    struct slice user; /* empty: stay who we are */
    struct slice group;
    struct slice name;   /* in Via, and in Server of our own answers */
    bool request_id;     /* add X-Request-Id where the request has none */
    uint32_t stop_ms;    /* how long a graceful stop waits for requests in flight */
    uint32_t upgrade_ms; /* how long another program that takes our place may need */

    struct slice access_path; /* a file, "stdout" or "stderr"; empty: off */
    int access_format;        /* enum access_format */
    struct slice error_path;  /* the same */
    int error_level;          /* enum log_level: what is below is not logged */

    struct admin_conf *admin;
    uint32_t admin_count;
    struct slice state_path; /* what was changed at run time; empty: not kept */

    uint32_t certificate_ms; /* between two looks at the files of certificates; 0: none */

    struct slice temp_dir;    /* for bodies that wait in files; followed by a NUL */
    struct slice nameservers; /* "127.0.0.1:5353"; empty: the system's */
    uint32_t resolve_ms;

    struct cidr *trusted; /* whose Forwarded and X-Forwarded-* count */
    uint32_t trusted_count;
    int client_from; /* enum client_from */

    struct file_cache_conf open_files; /* of each thread */

    uint64_t head_bytes; /* request or response head */
    uint64_t target_bytes;
    uint32_t fields;
    uint64_t body_bytes;     /* of a request; 0: no limit. Routes have their own, see route.h */
    uint32_t conns;          /* client connections; 0: what the descriptor limit allows */
    uint32_t conn_requests;  /* on one client connection; 0: no limit */
    uint32_t reroutes;       /* internal redirects of one request */
    uint64_t compress_bytes; /* of a thread's encoders */
    uint64_t window;         /* bytes of a body held, each way */
    uint32_t h2_streams;     /* of one client connection at a time */
    uint32_t h2_abuse[H2_ABUSES];

    uint32_t head_ms;        /* a request head from its first byte to its last */
    uint32_t body_ms;        /* between two pieces of a request body */
    uint32_t idle_ms;        /* between two requests on a connection */
    uint32_t write_ms;       /* without the client taking a byte */
    uint32_t half_closed_ms; /* serving a client that closed its side, while nothing moves */
    uint32_t linger_ms;      /* for a client to close after its last response */
    uint32_t tunnel_ms;      /* a tunnel in which nothing moves */

    struct config_place access_at, error_at, user_at, group_at, state_at, temp_at;
};

extern const struct key gateway_keys[];

#endif
