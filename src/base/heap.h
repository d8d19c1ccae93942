/* Binary min-heap of intrusive nodes, keyed by a 64-bit number; used for timers.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    uint32_t at; /* 1-based place in the heap; 0: in none */
};

struct heap {
    struct heap_node **nodes; /* nodes[0] is unused */
    uint32_t count, cap;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h); /* frees the array, not the nodes */
void heap_insert(struct heap *h, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *h, struct heap_node *node); /* harmless if not in a heap */
void heap_rekey(struct heap *h, struct heap_node *node, uint64_t key);

static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->count ? h->nodes[1] : NULL;
}

#endif
