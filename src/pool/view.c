/* SPDX-License-Identifier: MIT */
#include "pool/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pool/pool_internal.h"

static uint32_t limit_of(uint32_t max_open)
{
    return max_open == UINT32_MAX ? 0 : max_open;
}

/* What only the main thread changes. */
static void view_texts(struct backend *b, struct backend_view *v)
{
    *v = (struct backend_view){
        .weight = b->weight,
        .conf_weight = b->conf_weight,
        .tier = b->tier,
        .is_runtime = b->is_runtime,
        .weight_is_set = b->weight_is_set,
        .backend = backend_ref(b),
    };
    memcpy(v->address, b->text, sizeof(v->address));
    memcpy(v->name, b->host, sizeof(v->name));
}

/* With the lock held. */
static void view_numbers(const struct backend *b, struct backend_view *v)
{
    v->state = backend_state_name(b->state);
    v->why = b->health.why;
    v->state_us = b->health.since_us;
    v->max_conns = limit_of(b->max_open);
    v->open = b->open;
    v->busy = b->busy;
    v->idle = backend_idle(b);
    v->is_probed = b->health.is_probed;
    v->probe_ok = b->health.probe_ok;
    v->latency_us = b->ewma_us;
    v->counts = b->counts;
}

/* The list changes on the main thread alone, which is ours: the lock is held for the numbers only.
 */
struct pool_view *pool_view_new(struct pool *p)
{
    struct pool_view *v = mem_zalloc(sizeof(*v));
    v->name = p->conf->name;
    v->protocol = p->conf->protocol;
    v->balance = p->balancer->name;
    v->queue_length = p->conf->queue_length;
    v->max_conns = limit_of(p->max_open);
    v->backends = mem_alloc((p->count + 1) * sizeof(*v->backends));
    v->count = p->count;
    for (uint32_t i = 0; i < v->count; i++)
        view_texts(p->backends[i], &v->backends[i]);
    pool_lock(p);
    v->open = p->open;
    v->waiting = p->queue.count;
    v->is_overloaded = p->queue.is_overloaded;
    for (uint32_t i = 0; i < v->count; i++)
        view_numbers(p->backends[i], &v->backends[i]);
    pool_unlock(p);
    for (uint32_t i = 0; i < v->count; i++)
        v->busy += v->backends[i].busy;
    return v;
}

void pool_view_free(struct pool_view *v)
{
    for (uint32_t i = 0; i < v->count; i++)
        backend_unref((struct backend *)v->backends[i].backend);
    free(v->backends);
    free(v);
}

void pool_view_tally(const struct pool *p, struct tally_sum *sum)
{
    tally_read(p->tally, p->worker_count, sum);
}

void backend_view_tally(const struct pool *p, const struct backend_view *b, struct tally_sum *sum)
{
    tally_read(b->backend->tally, p->worker_count, sum);
}
