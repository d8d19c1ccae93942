/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
    free(h->nodes);
    heap_init(h);
}

static void place(struct heap *h, struct heap_node *node, uint32_t at)
{
    h->nodes[at] = node;
    node->at = at;
}

static void sift_up(struct heap *h, struct heap_node *node, uint32_t at)
{
    while (at > 1 && h->nodes[at / 2]->key > node->key) {
        place(h, h->nodes[at / 2], at);
        at /= 2;
    }
    place(h, node, at);
}

static void sift_down(struct heap *h, struct heap_node *node, uint32_t at)
{
    for (;;) {
        uint32_t child = at * 2;
        if (child > h->count)
            break;
        if (child < h->count && h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (h->nodes[child]->key >= node->key)
            break;
        place(h, h->nodes[child], at);
        at = child;
    }
    place(h, node, at);
}

void heap_insert(struct heap *h, struct heap_node *node, uint64_t key)
{
    assert(node->at == 0);
    if (h->count + 1 >= h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->nodes = mem_grow(h->nodes, h->cap, sizeof(*h->nodes));
    }
    node->key = key;
    sift_up(h, node, ++h->count);
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    uint32_t at = node->at;
    if (at == 0)
        return;
    struct heap_node *last = h->nodes[h->count--];
    node->at = 0;
    if (last == node)
        return;
    if (at > 1 && h->nodes[at / 2]->key > last->key)
        sift_up(h, last, at);
    else
        sift_down(h, last, at);
}

void heap_rekey(struct heap *h, struct heap_node *node, uint64_t key)
{
    bool up = key < node->key;
    node->key = key;
    if (up)
        sift_up(h, node, node->at);
    else
        sift_down(h, node, node->at);
}
