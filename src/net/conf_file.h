/* Configuration files on disk. Signatures are those of struct config_loader (config/ast.h), which
 * this folder does not know.
 * SPDX-License-Identifier: MIT */
#ifndef NET_CONF_FILE_H
#define NET_CONF_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum { CONF_FILE_MAX = 16 * 1024 * 1024 };

bool conf_file_read(void *context, struct slice path, struct arena *a, struct slice *text,
                    const char **why);
uint32_t conf_file_glob(void *context, struct slice pattern, struct slice from, struct arena *a,
                        struct slice **paths);
const char *conf_file_env(void *context, const char *name);
bool conf_file_exists(const char *path);

#endif
