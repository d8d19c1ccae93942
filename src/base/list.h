/* Intrusive doubly linked list. A node that is in no list points to itself; inserting a linked
 * node is a bug and asserts.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define LIST_INIT(l)                                                                               \
    {                                                                                              \
        &(l), &(l)                                                                                 \
    }

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline bool list_is_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_insert_(struct list *node, struct list *prev, struct list *next)
{
    assert(!list_is_linked(node));
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void list_push(struct list *l, struct list *node) /* at the front */
{
    list_insert_(node, l, l->next);
}

static inline void list_append(struct list *l, struct list *node) /* at the end */
{
    list_insert_(node, l->prev, l);
}

/* Unlinks node; harmless if it is not linked. */
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list *list_first(struct list *l)
{
    return list_is_empty(l) ? NULL : l->next;
}

static inline struct list *list_last(struct list *l)
{
    return list_is_empty(l) ? NULL : l->prev;
}

/* Takes the first node out, or answers NULL. */
static inline struct list *list_shift(struct list *l)
{
    struct list *node = list_first(l);
    if (node)
        list_remove(node);
    return node;
}

#define list_each(it, l) for (struct list *it = (l)->next; it != (l); it = it->next)
#define list_each_safe(it, l)                                                                      \
    for (struct list *it = (l)->next, *it##_next = it->next; it != (l);                            \
         it = it##_next, it##_next = it->next)

#endif
