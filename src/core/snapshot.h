/* A loaded configuration: immutable, counted, shared by all threads.
 *
 * Everything it points to, texts included, is allocated in one arena and goes with the last
 * reference, whoever drops it.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "config/ast.h"
#include "config/diag.h"
#include "core/gateway_conf.h"
#include "core/limit_conf.h"
#include "core/listen_conf.h"
#include "core/site_conf.h"
#include "pool/pool_conf.h"
#include "static/type.h"

struct host_table; /* host name -> site, see route.c */

struct snapshot {
    atomic_uint refs;
    struct gateway_conf gateway;
    struct listen_conf *listens;
    struct pool_conf *pools;
    struct site_conf *sites;
    struct limit_conf *limits; /* tables to count in */
    uint32_t listen_count, pool_count, site_count, limit_count;

    bool *used_pools;        /* while loading: which of them a route leads to */
    struct serve_conf serve; /* of requests for which no route is found (yet) */
    struct types types;      /* of files that no route serves: what applications hand over */
    struct host_table *hosts;
    struct regex *regexes; /* all of them, to be freed */
    struct buf_pool memory;
    struct arena arena;
};

/* Loads the file, and what it includes, through the loader. NULL when there are errors; they, and
 * warnings in any case, are in diag (see diag.h, whose texts live in diag's own memory). */
struct snapshot *snapshot_load(struct slice path, const struct config_loader *loader,
                               struct config_diag *diag) __attribute__((warn_unused_result));
/* The same from text that no file holds; name stands for the path in messages. */
struct snapshot *snapshot_load_text(struct slice name, struct slice text,
                                    const struct config_loader *loader, struct config_diag *diag)
    __attribute__((warn_unused_result));

/* While loading: something leads to this pool. */
static inline void snapshot_use_pool(struct snapshot *s, uint32_t index)
{
    s->used_pools[index] = true;
}

/* All keys there are, for the manual and --help-keys. */
const struct key *snapshot_key_table(void);

/* NULL: there is none of that name. Pools move until all directives are read. */
struct pool_conf *snapshot_find_pool(const struct snapshot *s, struct slice name);

/* Atomic; any thread. */
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

#endif
