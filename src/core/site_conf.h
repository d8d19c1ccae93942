/* A site: the host names it answers to and its routes, tried in file order.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SITE_CONF_H
#define CORE_SITE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"
#include "config/source.h"
#include "core/route.h"

struct site_name {
    struct slice text; /* lower case: "example.org", "*.example.org", "*" */
    struct config_place at;
};

struct site_conf {
    struct site_name *names;
    uint32_t name_count;
    struct route_conf *routes;
    uint32_t route_count;
    struct config_place at;
};

extern const struct key site_keys[];

#endif
