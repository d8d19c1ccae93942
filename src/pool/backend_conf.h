/* A `backend` line of a pool: an address, a URL, a name of services, or CGI programs.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BACKEND_CONF_H
#define POOL_BACKEND_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"

/* A host name becomes a backend for each of its addresses. */
struct backend_conf {
    struct endpoint endpoint;
    struct slice srv;     /* a name of services; then there is no endpoint */
    struct slice program; /* CGI: a directory or a program; then there is no endpoint */
    struct slice scheme;  /* of a URL; empty else */
    struct slice text;    /* "host:port", "[v6]:port" or "unix:/path": for logs and HOST_BACKEND */
    uint32_t weight;      /* 1..1000 */
    uint32_t max_conns;   /* for each address; 0: no limit */
    bool is_backup;       /* used when all others are down */
    struct config_place at;
};

extern const struct key backend_options[];
key_set_fn backend_conf_set; /* the target is a struct backend_conf */

/* Once the pool's protocol is known: completes the address by its default port (0: none) where none
 * was written, and sees that the URL names no other protocol. */
bool backend_conf_finish(struct config_reader *r, struct backend_conf *b, struct slice protocol,
                         uint16_t default_port);

#endif
