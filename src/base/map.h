/* From a slice to a pointer. Hashed with SipHash-1-3 under a key of the owner's, so that names a
 * peer chooses cannot be made to collide. Open addressing, linear probing; keys are not copied
 * and must stay where they are while in the map.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct map_key {
    uint64_t k0, k1; /* random; the same for all maps of a process will do */
};

struct map_slot {
    uint64_t hash;
    struct slice key;
    void *value; /* NULL: the slot is free */
};

struct map {
    struct map_slot *slots;
    uint32_t count, cap; /* cap: a power of two, or 0 */
    struct map_key key;
};

void map_init(struct map *m, struct map_key key); /* takes no memory yet */
void map_fini(struct map *m);

/* Sets key to value (not NULL); answers what was there before, or NULL. The new key stands in for
 * the old one. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_remove(struct map *m, struct slice key); /* the value, or NULL */
void *map_get(const struct map *m, struct slice key) __attribute__((warn_unused_result));

/* The slots in use, in no order; the map must not change meanwhile:
 * for (struct map_slot *s = map_next(m, NULL); s; s = map_next(m, s)) */
struct map_slot *map_next(const struct map *m, struct map_slot *s);

uint64_t map_siphash13(struct map_key key, struct slice s);
uint64_t map_siphash24(struct map_key key, struct slice s);

#endif
