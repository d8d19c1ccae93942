/* Configuration files as they were read, and places in them. Both live as long as the snapshot, so
 * that anything configured can say where.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_SOURCE_H
#define CONFIG_SOURCE_H

#include <stdint.h>

#include "base/slice.h"

struct config_file {
    struct slice path; /* as named; followed by a NUL */
    struct slice text;
    const struct config_file *from; /* the file that includes this one, or NULL */
};

/* file is NULL for what no file says: defaults. */
struct config_place {
    const struct config_file *file;
    uint32_t line, column; /* from 1; columns count bytes */
};

#endif
