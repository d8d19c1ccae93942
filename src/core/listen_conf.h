/* An address that the gateway listens on: one `listen` directive.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LISTEN_CONF_H
#define CORE_LISTEN_CONF_H

#include <stdint.h>

#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"
#include "core/tls_conf.h"

struct listen_conf {
    struct address address;
    struct slice text; /* as written */
    uint32_t backlog;
    bool is_tls;
    bool takes_proxies;   /* connections begin with a head of the PROXY protocol */
    struct cidr *proxies; /* who may open them */
    uint32_t proxy_count;
    struct tls_conf tls;    /* meaningless unless is_tls */
    struct config_place at; /* of the address */
};

/* `listen ADDRESS [tls]`: its options and block, and what reads the words into a struct
 * listen_conf. */
extern const struct key listen_options[];
key_set_fn listen_conf_set;
key_close_fn listen_conf_close;

/* The one of this address, or NULL. */
const struct listen_conf *listen_conf_find(const struct listen_conf *all, uint32_t count,
                                           const struct address *address);
/* Whether both cannot be bound at the same time. Port 0 clashes with nothing. */
bool listen_conf_clashes(const struct listen_conf *a, const struct listen_conf *b);

#endif
