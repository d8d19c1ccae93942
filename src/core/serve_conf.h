/* How the requests of a route are served: limits, deadlines, buffers. Once loaded it holds what
 * counts, wherever that was said: by the route, its site, its pool, or the gateway. An exchange
 * looks here and nowhere else.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SERVE_CONF_H
#define CORE_SERVE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"

struct gateway_conf;
struct pool_conf;

struct serve_conf {
    uint64_t body_bytes; /* of a request; 0: no limit */
    uint64_t rate_bytes; /* of a response, in a second; 0: no limit */

    bool buffer_set; /* the next two were said */
    bool buffer_request, buffer_response;
    uint64_t buffer_memory, buffer_file;

    /* towards backends: see pool_conf.h */
    uint32_t request_ms, response_ms, idle_ms, queue_ms;
    /* towards clients: see gateway_conf.h */
    uint32_t body_ms, write_ms, tunnel_ms;
};

/* Nothing is said yet. */
void serve_conf_init(struct serve_conf *conf);
/* What was not said is as in outer, which may not say it either. */
void serve_conf_inherit(struct serve_conf *conf, const struct serve_conf *outer);
/* What still is not, is as the pool (NULL: there is none) and the gateway have it. */
void serve_conf_finish(struct serve_conf *conf, const struct gateway_conf *gateway,
                       const struct pool_conf *pool);

extern const struct key serve_limit_options[], serve_timeout_options[], serve_buffer_options[];
key_set_fn serve_set_buffer;

/* Rows of a key table; opener answers the struct serve_conf. */
#define SERVE_KEYS(opener)                                                                         \
    {.name = "limit",                                                                              \
     .type = KEY_NONE,                                                                             \
     .open = opener,                                                                               \
     .options = serve_limit_options,                                                               \
     .help = "how much a client may send here"},                                                   \
        {.name = "timeout",                                                                        \
         .type = KEY_NONE,                                                                         \
         .open = opener,                                                                           \
         .options = serve_timeout_options,                                                         \
         .help = "how long to wait here, in place of what the pool and the gateway say"},          \
    {                                                                                              \
        .name = "buffer", .type = KEY_CUSTOM, .set = serve_set_buffer, .open = opener,             \
        .options = serve_buffer_options, .syntax = "request | response | off ...",                 \
        .help = "which bodies are held for slow clients here, in place of what the pool says"      \
    }

#endif
