/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BALANCER(kind, identifier) extern const struct balancer identifier;
#include "pool/balancers.def"
#undef BALANCER

static const struct balancer *const balancers[] = {
#define BALANCER(kind, identifier) [kind] = &identifier,
#include "pool/balancers.def"
#undef BALANCER
};

void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers)
{
    *p = (struct pool){.conf = conf, .balancer = balancers[conf->balance], .workers = workers};
    pthread_spin_init(&p->lock, PTHREAD_PROCESS_PRIVATE);
}

void pool_fini(struct pool *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        backend_unref(p->backends[i]);
    free(p->backends);
    pthread_spin_destroy(&p->lock);
}

static bool is_at(const struct backend *b, const struct backend_conf *conf,
                  const struct pool_address *a)
{
    return b->conf == conf && b->addr_len == a->len && memcmp(&b->addr, &a->sa, a->len) == 0;
}

static struct backend *find(struct pool *p, const struct backend_conf *conf,
                            const struct pool_address *a)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (is_at(p->backends[i], conf, a))
            return p->backends[i];
    return NULL;
}

/* The new list is made beside the old one and put in its place under the lock. Only one thread, the
 * one that resolves names, changes a pool. */
void pool_set_addresses(struct pool *p, const struct backend_conf *conf,
                        const struct pool_address *addresses, uint32_t count)
{
    struct backend **list = mem_alloc((p->count + count) * sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->conf != conf)
            list[n++] = backend_ref(p->backends[i]);
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_address *a = &addresses[i];
        struct backend *b = find(p, conf, a);
        list[n++] = b ? backend_ref(b)
                      : backend_new(conf, (const struct sockaddr *)&a->sa, a->len, p->workers);
    }

    struct backend **old = p->backends;
    uint32_t old_count = p->count;
    pthread_spin_lock(&p->lock);
    p->backends = list;
    p->count = n;
    pthread_spin_unlock(&p->lock);
    for (uint32_t i = 0; i < old_count; i++)
        backend_unref(old[i]);
    free(old);
}

struct backend *pool_pick(struct pool *p, const struct tried *tried)
{
    pthread_spin_lock(&p->lock);
    struct backend *b = p->balancer->pick(p->backends, p->count, tried);
    if (b)
        backend_ref(b);
    pthread_spin_unlock(&p->lock);
    return b;
}
