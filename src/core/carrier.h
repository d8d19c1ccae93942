/* A connection to a backend that several exchanges share, where the protocol has lanes for them
 * (codec.h, struct mux). It holds one slot; its free lanes are offered to the pool, which promises
 * them to requests of the same worker. With no exchange left it is an idle connection like others.
 *
 * Bytes are read and written here, for all lanes together: written once at the end of the loop's
 * turn. An exchange is told when there is something new for its lane. What happens to one lane
 * harms no other; the end of the connection is told to each, which then decides by itself whether
 * its request may be tried again.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CARRIER_H
#define CORE_CARRIER_H

#include "core/lane.h"

struct exchange;

/* Whether the exchanges of a pool like this share connections. */
bool carrier_shares(const struct back_codec *codec, const struct pool_conf *conf);
bool carrier_serves(const struct pool_conf *conf); /* the same; looks the codec up */

/* ---- giving the attempt of x a lane ---- */

/* Dials, with a slot and a reference of b, both taken over; false: *error, and they are given
 * back. lead: goes out first of all. */
bool carrier_dial(struct exchange *x, struct backend *b, struct slice lead, int *error);
/* An idle connection has become ours. */
void carrier_wake(struct exchange *x, struct conn *c);
/* Redeems the pool's promise of a lane, with a reference on b. False: there is none any more. */
bool carrier_join(struct exchange *x, struct backend *b);

/* ---- for lane.c ---- */

bool carrier_stands(const struct carrier *c);
bool carrier_is_leaving(const struct carrier *c);
bool carrier_has_answered(const struct carrier *c);
const char *carrier_fault(const struct carrier *c);
size_t carrier_flush(struct lane *l);
void carrier_consume(struct lane *l, size_t n);
ssize_t carrier_fill(struct lane *l);
void carrier_leave(struct lane *l);

#endif
