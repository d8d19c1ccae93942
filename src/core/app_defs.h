/* What the configuration lets us run: the applications of pools with a `spawn` block, and the CGI
 * programs of pools whose backends are programs. Made once at start, for the spawner takes no
 * definitions from a gateway that has given up its privileges.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_APP_DEFS_H
#define CORE_APP_DEFS_H

#include <stdbool.h>

#include "core/snapshot.h"
#include "proc/define.h"

struct app_def {
    struct spawn_def def;
    char *memory; /* of def's texts */
    struct slice pool;
    const struct spawn_conf *conf; /* NULL: CGI */
    struct slice program;          /* CGI: the backend's path, as configured */
};

struct app_defs {
    struct snapshot *snapshot; /* what they point into: a reference */
    struct app_def *v;
    uint32_t count;
    char run_dir[RUN_DIR_MAX]; /* for sockets; empty: none was needed */
};

/* Whether there is anything to run. */
bool app_defs_wanted(const struct snapshot *s);
/* False, with the reason on stderr. */
bool app_defs_make(struct app_defs *defs, struct snapshot *s);
void app_defs_fini(struct app_defs *defs);
/* 0 or -errno: tells the spawner at the other end of the channel. */
int app_defs_send(const struct app_defs *defs, int channel);

/* NULL if there is none: it was not in the configuration at the start. */
const struct app_def *app_defs_find(const struct app_defs *defs, struct slice pool,
                                    struct slice program);

#endif
