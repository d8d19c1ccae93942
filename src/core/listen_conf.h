/* An address that the gateway listens on: one `listen` directive.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LISTEN_CONF_H
#define CORE_LISTEN_CONF_H

#include <stdint.h>

#include "config/address.h"
#include "config/schema.h"
#include "config/source.h"

struct listen_conf {
    struct address address;
    struct slice text; /* as written */
    uint32_t backlog;
    struct config_place at; /* of the address */
};

extern const struct key listen_options[];

#endif
