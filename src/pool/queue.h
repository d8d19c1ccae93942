/* Who waits for a slot, and whose turn it is. A plain structure without a lock: the pool's guards
 * it.
 *
 * Classes go in order of priority. Inside a class clients take turns, so that one that asks for
 * much does not hold up the others; a client's own requests go in the order they came.
 *
 * That changes when the queue does not get shorter by serving it: once the oldest has waited for
 * `target`, and for as long again no better, the newest go first, whose clients are still there to
 * be pleased, and those who have waited for longer than the target are refused a few at a time. It
 * ends when the oldest has waited for less than half the target.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_QUEUE_H
#define POOL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* AGAIN: had a slot before, and lost its backend. */
enum queue_class { QUEUE_AGAIN, QUEUE_HIGH, QUEUE_NORMAL, QUEUE_LOW, QUEUE_CLASSES };
enum { QUEUE_FLOWS = 64 }; /* clients beyond share turns */

struct queue_flow {
    struct list node;    /* in the class's turns, while not empty */
    struct list entries; /* oldest first */
};

struct queue {
    struct {
        struct list turns; /* struct queue_flow, whose turn it is first */
        struct queue_flow flows[QUEUE_FLOWS];
    } classes[QUEUE_CLASSES];
    struct list by_age; /* all, oldest first */
    uint32_t count, max_count;
    uint64_t target_us; /* 0: never more than first come, first served */
    uint64_t above_us;  /* since when the oldest has waited for longer; 0: it has not */
    bool is_overloaded;
    uint64_t served_us, gap_us; /* the newest service, and the mean time between two */
};

struct queue_entry {
    struct list in_flow, by_age;
    struct queue_flow *flow;
    enum queue_class class;
    uint64_t since_us;
};

void queue_init(struct queue *q);
void queue_set_limits(struct queue *q, uint32_t max_count, uint32_t target_ms);

/* client: a hash of who asks. */
void queue_add(struct queue *q, struct queue_entry *e, enum queue_class class, uint64_t client,
               uint64_t now_us);
void queue_remove(struct queue *q, struct queue_entry *e);
static inline bool queue_has(const struct queue_entry *e)
{
    return list_is_linked(&e->by_age);
}

/* The next one in turn that `may` agrees to; it stays in the queue. NULL: none. */
typedef bool queue_may_fn(const void *ctx, const struct queue_entry *e);
struct queue_entry *queue_find(struct queue *q, queue_may_fn *may, const void *ctx);
/* Takes it out as served: the next client has its turn. */
void queue_serve(struct queue *q, struct queue_entry *e, uint64_t now_us);

/* Whom to refuse for a newcomer of that class to a full queue: one of a lower class, or the oldest
 * of the same under overload; NULL: the newcomer. */
struct queue_entry *queue_victim(struct queue *q, enum queue_class class);
/* Under overload, one that has waited for too long; NULL: none. */
struct queue_entry *queue_overdue(struct queue *q, uint64_t now_us);

/* In how many seconds a newcomer would have been served: at least 1, at most 60. */
uint32_t queue_drain_s(const struct queue *q);

#endif
