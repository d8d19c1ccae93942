/* What the configuration lets us run: the applications of pools with a `spawn` block, and the CGI
 * programs of pools whose backends are programs.
 *
 * The master makes them, for it may still look up users and make directories for them, and the
 * spawner takes no definitions from a gateway that has given up its privileges. A gateway gets them
 * by fork; when it loads another configuration the master does, too, and sends what it has made.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_APP_DEFS_H
#define CORE_APP_DEFS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/snapshot.h"
#include "proc/define.h"

struct app_def {
    struct spawn_def def; /* index: the same as before a reload if nothing of it has changed */
    char *memory;         /* of def's texts; NULL: not received yet */
    struct slice pool;
    const struct spawn_conf *conf; /* NULL: CGI */
    struct slice program;          /* CGI: the backend's path, as configured */
};

struct app_defs {
    atomic_uint refs;
    struct snapshot *snapshot; /* what they point into: a reference */
    struct app_def *v;
    uint32_t count, known;     /* known: v[0 .. known-1] have their definition */
    uint32_t next_index;       /* of a definition that is new */
    char run_dir[RUN_DIR_MAX]; /* for sockets */
};

/* Whether there is anything to run. */
bool app_defs_wanted(const struct snapshot *s);
/* Master. previous: of the configuration before, or NULL. The directory for sockets is made with
 * the first that have something to run. NULL, with the reason on stderr. */
struct app_defs *app_defs_new(struct snapshot *s, const struct app_defs *previous);
/* Master, at the end: removes the directory for sockets. */
void app_defs_clean(const struct app_defs *defs);
/* 0 or -errno: tells the spawner at the other end of the channel; and to forget those that are not
 * in either of the others (which may be NULL). */
int app_defs_send(const struct app_defs *defs, int channel);
int app_defs_forget(const struct app_defs *defs, int channel, const struct app_defs *kept,
                    const struct app_defs *also);

/* Gateway: a list without definitions, to be filled by app_defs_take() in the master's order with
 * messages that hold one each. False: it does not fit, so the master has loaded another file. */
struct app_defs *app_defs_expect(struct snapshot *s, const struct app_defs *previous);
bool app_defs_take(struct app_defs *defs, struct slice packet);
bool app_defs_place(struct app_defs *defs, struct slice run_dir); /* false: it is too long */
bool app_defs_is_whole(const struct app_defs *defs);

/* Atomic; NULL is nobody's. */
struct app_defs *app_defs_ref(struct app_defs *defs);
void app_defs_unref(struct app_defs *defs);

/* NULL if there is none. */
const struct app_def *app_defs_find(const struct app_defs *defs, struct slice pool,
                                    struct slice program);

#endif
