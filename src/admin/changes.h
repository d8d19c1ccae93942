/* What was changed at run time: which backends were added, removed, drained, disabled or weighted
 * otherwise than the configuration says. Kept so that it can be shown as a difference, and in a
 * file (`gateway { state PATH }`) so that a restart does not undo it.
 *
 * The pools do the work and keep most of it over a reload; here is what is wanted of them. It is
 * compared with what they are after a start, a reload and, as names change, once a second, and only
 * as long as there is anything.
 *
 *     {"version": 1, "pools": {"app": {"10.0.0.9:80": {"mode": "draining", "weight": 5}}}}
 *
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_CHANGES_H
#define ADMIN_CHANGES_H

#include <jansson.h>

#include "house/gateway.h"

struct changes;

/* Reads the file, if the configuration names one, and makes the pools so. */
struct changes *changes_new(struct gateway *g);
void changes_free(struct changes *c);
/* Another configuration is in place. */
void changes_reloaded(struct changes *c);

enum change {
    CHANGE_DRAIN,
    CHANGE_DISABLE,
    CHANGE_ENABLE,
    CHANGE_WEIGHT,
    CHANGE_REMOVE,
    CHANGE_ADD
};

struct change_order {
    enum change change;
    struct slice backend; /* an address, or a name as its line says it: all of its addresses, of
                             which CHANGE_ADD brings those back that were removed */
    uint32_t weight;      /* CHANGE_WEIGHT; CHANGE_ADD: 0: its line's, or 1 */
    uint32_t max_conns;   /* CHANGE_ADD; 0: no limit */
    bool is_backup;       /* CHANGE_ADD */
    bool is_of_line;      /* CHANGE_ADD: set if a line of the configuration is why it is there */
};

/* Carries it out and writes it down. 0: done, *warning says what could not be written down, or is
 * NULL. -ENOENT: the pool has no such backend. -EEXIST: it is there. -EINVAL: no address. */
int changes_make(struct changes *c, struct pool *p, struct change_order *order,
                 const char **warning);

/* [{"pool", "backend", "change"}...]: how things differ from the file. */
json_t *changes_json(const struct changes *c);

#endif
