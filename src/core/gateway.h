/* The gateway process: pools, workers, listeners, logs; from start to graceful stop.
 *
 * The main thread keeps the house: it opens, starts and stops, follows the backends' names and
 * handles signals, all on a loop of its own. Requests are the workers'.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_GATEWAY_H
#define CORE_GATEWAY_H

#include "codec/codec.h"
#include "core/snapshot.h"
#include "pool/pool.h"

struct gateway;

struct gateway_pool {
    struct pool pool;
    const struct back_codec *codec;
};

/* Serves until a signal ends it. Takes over the snapshot. Answers the process's exit status. */
int gateway_run(struct snapshot *snapshot);

/* The pool of snapshot.pools[index]. */
struct gateway_pool *gateway_pool_at(struct gateway *g, uint32_t index);

#endif
