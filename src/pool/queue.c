/* SPDX-License-Identifier: MIT */
#include "pool/queue.h"

enum { GAP_SHIFT = 4, DRAIN_MAX_S = 60 };

void queue_init(struct queue *q)
{
    *q = (struct queue){.max_count = 0};
    list_init(&q->by_age);
    for (int c = 0; c < QUEUE_CLASSES; c++) {
        list_init(&q->classes[c].turns);
        for (int f = 0; f < QUEUE_FLOWS; f++) {
            list_init(&q->classes[c].flows[f].node);
            list_init(&q->classes[c].flows[f].entries);
        }
    }
}

void queue_set_limits(struct queue *q, uint32_t max_count, uint32_t target_ms)
{
    q->max_count = max_count;
    q->target_us = target_ms * UINT64_C(1000);
}

static struct queue_entry *oldest(struct queue *q)
{
    struct list *node = list_first(&q->by_age);
    return node ? container_of(node, struct queue_entry, by_age) : NULL;
}

/* Looks at the oldest whenever the queue has changed. */
static void watch(struct queue *q, uint64_t now_us)
{
    const struct queue_entry *e = oldest(q);
    uint64_t waited_us = e && now_us > e->since_us ? now_us - e->since_us : 0;
    if (!e || waited_us < q->target_us / 2) {
        q->above_us = 0;
        q->is_overloaded = false;
    } else if (q->target_us && waited_us >= q->target_us) {
        if (!q->above_us)
            q->above_us = now_us;
        q->is_overloaded |= now_us - q->above_us >= q->target_us;
    }
}

void queue_add(struct queue *q, struct queue_entry *e, enum queue_class class, uint64_t client,
               uint64_t now_us)
{
    struct queue_flow *flow = &q->classes[class].flows[client % QUEUE_FLOWS];
    list_init(&e->in_flow);
    list_init(&e->by_age);
    e->flow = flow;
    e->class = class;
    e->since_us = now_us;
    if (list_is_empty(&flow->entries))
        list_append(&q->classes[class].turns, &flow->node);
    list_append(&flow->entries, &e->in_flow);
    list_append(&q->by_age, &e->by_age);
    q->count++;
    watch(q, now_us);
}

void queue_remove(struct queue *q, struct queue_entry *e)
{
    list_remove(&e->in_flow);
    list_remove(&e->by_age);
    if (list_is_empty(&e->flow->entries))
        list_remove(&e->flow->node);
    if (--q->count == 0) { /* nobody is left to look at */
        q->above_us = 0;
        q->is_overloaded = false;
    }
}

static struct queue_entry *find_in_flow(struct queue_flow *flow, bool newest_first,
                                        queue_may_fn *may, const void *ctx)
{
    struct list *end = &flow->entries;
    for (struct list *node = newest_first ? end->prev : end->next; node != end;
         node = newest_first ? node->prev : node->next) {
        struct queue_entry *e = container_of(node, struct queue_entry, in_flow);
        if (may(ctx, e))
            return e;
    }
    return NULL;
}

struct queue_entry *queue_find(struct queue *q, queue_may_fn *may, const void *ctx)
{
    struct queue_entry *e = NULL;
    for (int c = 0; c < QUEUE_CLASSES; c++)
        list_each (node, &q->classes[c].turns) {
            struct queue_flow *flow = container_of(node, struct queue_flow, node);
            e = find_in_flow(flow, q->is_overloaded, may, ctx);
            if (e)
                return e;
        }
    return NULL;
}

/* The time between two services, while somebody waited for the second. */
static void measure(struct queue *q, uint64_t since_us, uint64_t now_us)
{
    uint64_t from_us = q->served_us > since_us ? q->served_us : since_us;
    uint64_t gap_us = now_us > from_us ? now_us - from_us : 0;
    q->gap_us = q->gap_us - (q->gap_us >> GAP_SHIFT) + (gap_us >> GAP_SHIFT);
    q->served_us = now_us;
}

void queue_serve(struct queue *q, struct queue_entry *e, uint64_t now_us)
{
    struct list *turns = &q->classes[e->class].turns;
    struct queue_flow *flow = e->flow;
    queue_remove(q, e);
    if (list_is_linked(&flow->node)) {
        list_remove(&flow->node);
        list_append(turns, &flow->node);
    }
    measure(q, e->since_us, now_us);
    watch(q, now_us);
}

static struct queue_entry *oldest_of(struct queue *q, int class)
{
    struct queue_entry *found = NULL;
    list_each (node, &q->classes[class].turns) {
        struct queue_flow *flow = container_of(node, struct queue_flow, node);
        struct queue_entry *e =
            container_of(list_first(&flow->entries), struct queue_entry, in_flow);
        if (!found || e->since_us < found->since_us)
            found = e;
    }
    return found;
}

struct queue_entry *queue_victim(struct queue *q, enum queue_class class)
{
    for (int c = QUEUE_LOW; c >= (int)class; c--) {
        if (c == (int)class && !q->is_overloaded)
            return NULL;
        struct queue_entry *e = oldest_of(q, c);
        if (e)
            return e;
    }
    return NULL;
}

struct queue_entry *queue_overdue(struct queue *q, uint64_t now_us)
{
    struct queue_entry *e = q->is_overloaded ? oldest(q) : NULL;
    return e && now_us > e->since_us + q->target_us ? e : NULL;
}

uint32_t queue_drain_s(const struct queue *q)
{
    uint64_t s = q->gap_us * q->count / 1000000 + 1;
    return s < DRAIN_MAX_S ? (uint32_t)s : DRAIN_MAX_S;
}
