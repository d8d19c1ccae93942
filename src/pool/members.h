/* Who belongs to a pool: what its configuration and its names say, and what is changed at run time.
 * Main thread only.
 *
 * What is changed at run time outlives a new configuration, and that a name loses the address for
 * some time: a weight, a mode, a backend added, or one removed, which neither a line nor a name
 * brings back until it is added again.
 *
 * They stand in the order of the file, whenever their names were resolved; behind them those that
 * were added.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_MEMBERS_H
#define POOL_MEMBERS_H

#include "pool/pool.h"

/* A new configuration of the same pool takes the place of the old one, which must stay readable
 * until no worker can be looking at it any more. Backends of lines that are still there keep their
 * connections, state and place; the others leave. */
void pool_set_conf(struct pool *p, const struct pool_conf *conf);

/* One address, as resolving a backend's name gave it. */
struct pool_address {
    struct sockaddr_storage sa;
    socklen_t len;
    uint32_t weight; /* of an SRV record; 0: the line's */
    uint32_t tier;   /* of an SRV record: its priority */
};

/* Makes the backends of one `backend` line be exactly these addresses: those that stay keep their
 * state, new ones join (slowly, if the pool is at work), others leave: exchanges end in their own
 * time, idle connections are closed. */
void pool_set_addresses(struct pool *p, const struct backend_conf *conf,
                        const struct pool_address *addresses, uint32_t count);

/* The addresses that the line's backends have: how many, and the first of them, at most room. */
uint32_t pool_get_addresses(const struct pool *p, const struct backend_conf *conf,
                            struct pool_address *addresses, uint32_t room);

/* ---- at run time: which backend is said by its address as text, "10.0.0.9:8080" or "unix:/p" ----
 * 0, or -ENOENT where the pool has no such backend. */

int pool_drain(struct pool *p, struct slice text);   /* nothing new but who sticks to it */
int pool_disable(struct pool *p, struct slice text); /* nothing at all */
int pool_enable(struct pool *p, struct slice text);  /* undoes both, and any mark */
int pool_set_weight(struct pool *p, struct slice text, uint32_t weight); /* 1..1000 */
int pool_remove(struct pool *p, struct slice text);

struct pool_new {
    struct pool_address address;
    uint32_t max_conns; /* 0: no limit */
    bool is_backup;
};
/* An address of the line of this name that was removed; NULL: there is none. Until the next change.
 */
const char *pool_find_removed(const struct pool *p, struct slice name);
/* True: its line has left the configuration as well, so that nothing is wished any more. */
bool pool_forget_removed(struct pool *p, struct slice text);
/* One of a line that was removed is what its line says again. -ENOENT: there is none, or no such
 * line any more. */
int pool_bring_back(struct pool *p, struct slice text);
/* Adds a backend that no line names; when one does, it is that line's. Its weight is the address's.
 * -EEXIST: it is there. */
int pool_add(struct pool *p, const struct pool_new *new);
/* An address as text, without asking anybody: 0 or -EINVAL. */
int pool_parse_address(struct slice text, struct pool_address *address);

/* ---- backends that are processes of ours ---- */

/* The pool's backends come and go as somebody starts and stops processes: a request that finds none
 * waits, and on_wait is called, by the loop home of the main thread. NULL: they are what they are.
 */
void pool_set_grower(struct pool *p, struct loop *home, void (*on_wait)(void *ctx), void *ctx);
/* Requests may go to the process in this slot, capacity at a time; 0: no new ones. */
void pool_put_slot(struct pool *p, uint32_t slot, const struct pool_address *address,
                   uint32_t capacity);
void pool_drop_slot(struct pool *p, uint32_t slot);
struct slot_load {
    uint32_t busy;   /* requests it has */
    uint64_t served; /* requests it was given since pool_put_slot() first named it */
};
struct slot_load pool_slot_load(struct pool *p, uint32_t slot);
uint32_t pool_waiting(struct pool *p);

/* ---- what probes say ---- */

/* Probes of this backend run from here on, or (false) no longer. */
void pool_probe(struct pool *p, struct backend *b, bool is_probed);
/* A slot for a probe; false: none is free, and one that is idle is asked for. */
bool pool_begin_probe(struct pool *p, struct backend *b);
void pool_end_probe(struct pool *p, struct backend *b);
/* Whether it is down, for whatever reason. */
bool pool_is_down(struct pool *p, const struct backend *b);
/* They have found out that it works, or not. why: a literal. */
void pool_probed(struct pool *p, struct backend *b, bool ok, const char *why);

#endif
