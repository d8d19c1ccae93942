/* What the answers of a pool's backends may ask for: the `hand-over` lines.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_HANDOFF_CONF_H
#define POOL_HANDOFF_CONF_H

#include <stdint.h>

#include "config/schema.h"

/* A bit each. */
enum handoff_kind {
    HANDOFF_SENDFILE = 1, /* X-Sendfile and its like: a file by its path */
    HANDOFF_ACCEL = 2,    /* X-Accel-*: another route, and how the answer is sent */
    HANDOFF_TEMPFILE = 4, /* X-LIGHTTPD-send-tempfile: a file that is removed */
    HANDOFF_REWRITE = 8,  /* X-Rewrite-*: the request begins again */
};

struct handoff_dir {
    struct slice path; /* without '/' at its end but for "/" */
    unsigned kinds;
};

struct handoff_conf {
    unsigned kinds; /* that are allowed */
    struct handoff_dir *dirs;
    uint32_t dir_count;
};

/* One line while it is read. */
struct handoff_line {
    struct handoff_conf *conf;
    unsigned kinds;
    uint32_t dirs; /* that it names */
};

extern const struct key_name handoff_kinds[]; /* a bit each: enum handoff_kind */
extern const struct key handoff_options[];    /* target: a struct handoff_line */
key_set_fn handoff_conf_set;                  /* the same */
key_close_fn handoff_conf_close;              /* the same */

#endif
