/* Probes find out whether the backends of a pool work, and tell the pool: a connection, a request
 * in the pool's own protocol through its codec, or FastCGI's GET_VALUES. They live on the main
 * thread's loop, wait for nothing, and follow the pool's backends and its configuration as they
 * change.
 *
 * A probe takes a slot, so that max-conns holds for it too. While a backend has none free, its
 * requests say more about it than a probe could.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_PROBE_H
#define CORE_PROBE_H

#include "codec/codec.h"
#include "net/loop.h"
#include "pool/pool.h"

struct probes;

/* Main thread, as all of this. Nothing is probed where the pool's configuration has no `health`. */
struct probes *probes_new(struct loop *l, struct pool *pool, const struct back_codec *codec)
    __attribute__((returns_nonnull));
/* What is left of them goes at the end of the loop's turn; the pool may go before. */
void probes_free(struct probes *ps);

/* A tenth more or less, so that backends, and gateways that were started together, are not asked
 * together. random: the state, whatever it is. */
uint64_t probe_jitter(uint64_t *random, uint64_t ms);

#endif
