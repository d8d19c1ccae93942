/* The tables that `rate` and `concurrent` count in: what is configured, and, in a generation, the
 * tables themselves, which go on counting through a reload as long as their line stays the same.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LIMIT_CONF_H
#define CORE_LIMIT_CONF_H

#include <stdint.h>

#include "base/slice.h"

struct limit_conf {
    struct slice name; /* the line, and which of several alike: by this a table is found again */
    uint32_t entries;
};

#endif
