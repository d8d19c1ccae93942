/* SPDX-License-Identifier: MIT */
#include "pool/view.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

static uint32_t limit_of(uint32_t max_open)
{
    return max_open == UINT32_MAX ? 0 : max_open;
}

/* What only the main thread changes. */
static void view_texts(struct backend *b, struct backend_view *v)
{
    *v = (struct backend_view){
        .state = "up",
        .weight = b->weight,
        .conf_weight = b->conf->weight ? b->conf->weight : 1,
        .max_conns = limit_of(b->max_open),
        .backend = backend_ref(b),
    };
    snprintf(v->address, sizeof(v->address), "%s", b->text);
    snprintf(v->name, sizeof(v->name), "%s", b->host);
}

/* The list changes on the main thread alone, which is ours: the lock is held for the numbers only. */
struct pool_view *pool_view_new(struct pool *p)
{
    struct pool_view *v = mem_zalloc(sizeof(*v));
    v->name = p->conf->name;
    v->protocol = p->conf->protocol;
    v->balance = p->balancer->name;
    v->queue_length = p->conf->queue_length;
    v->max_conns = limit_of(p->max_open);
    v->backends = mem_alloc(p->count * sizeof(*v->backends));
    v->count = p->count;
    for (uint32_t i = 0; i < v->count; i++)
        view_texts(p->backends[i], &v->backends[i]);
    pthread_spin_lock(&p->lock);
    v->open = p->open;
    v->waiting = p->waiting;
    for (uint32_t i = 0; i < v->count; i++) {
        v->backends[i].open = p->backends[i]->open;
        v->backends[i].busy = p->backends[i]->busy;
    }
    pthread_spin_unlock(&p->lock);
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
