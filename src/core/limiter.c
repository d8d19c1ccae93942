/* SPDX-License-Identifier: MIT */
#include "core/limiter.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/map.h"

enum { WAYS = 8, LOCKS = 64 };

/* key 0: free. value: of a rate, the time its virtual clock shows in ns; of a count, the count. */
struct limiter_entry {
    uint64_t key, value;
};

struct bucket {
    _Alignas(64) struct limiter_entry ways[WAYS];
};

struct lock {
    _Alignas(64) pthread_spinlock_t spin;
};

struct limiter {
    struct lock locks[LOCKS];
    uint32_t mask; /* of buckets */
    struct map_key secret;
    struct bucket *buckets;
};

static void *aligned_zalloc(size_t count, size_t size)
{
    void *p = aligned_alloc(64, count * size);
    if (!p)
        abort();
    memset(p, 0, count * size);
    return p;
}

struct limiter *limiter_new(uint32_t entries)
{
    struct limiter *l = aligned_zalloc(1, sizeof(*l));
    uint32_t buckets = 1;
    while (buckets * (uint64_t)WAYS < entries)
        buckets *= 2;
    l->mask = buckets - 1;
    l->buckets = aligned_zalloc(buckets, sizeof(*l->buckets));
    ssize_t got = getrandom(&l->secret, sizeof(l->secret), 0);
    (void)got; /* so few bytes come at once */
    for (int i = 0; i < LOCKS; i++)
        pthread_spin_init(&l->locks[i].spin, PTHREAD_PROCESS_PRIVATE);
    return l;
}

void limiter_free(struct limiter *l)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_spin_destroy(&l->locks[i].spin);
    free(l->buckets);
    free(l);
}

uint64_t limiter_key(const struct limiter *l, struct slice key, bool space)
{
    struct map_key secret = {l->secret.k0, l->secret.k1 ^ space};
    return map_siphash24(secret, key);
}

static struct bucket *lock_bucket(struct limiter *l, uint64_t key, pthread_spinlock_t **spin)
{
    uint32_t i = (uint32_t)(key >> 32) & l->mask;
    *spin = &l->locks[i % LOCKS].spin;
    pthread_spin_lock(*spin);
    return &l->buckets[i];
}

static struct limiter_entry *find(struct bucket *b, uint64_t key)
{
    for (int i = 0; i < WAYS; i++)
        if (b->ways[i].key == key)
            return &b->ways[i];
    return NULL;
}

static struct limiter_entry *find_least(struct bucket *b)
{
    struct limiter_entry *least = &b->ways[0];
    for (int i = 1; i < WAYS; i++)
        if (b->ways[i].value < least->value)
            least = &b->ways[i];
    return least;
}

/* ---- rates ---- */

static uint64_t take(struct limiter_entry *e, const struct limiter_rate *rate, uint64_t now_ns,
                     uint64_t patience_ns)
{
    uint64_t clock_ns = e->value > now_ns ? e->value : now_ns;
    uint64_t ahead_ns = clock_ns - now_ns, may_ns = rate->interval_ns * (rate->burst - 1);
    uint64_t wait_ns = ahead_ns > may_ns ? ahead_ns - may_ns : 0;
    if (wait_ns <= patience_ns)
        e->value = clock_ns + rate->interval_ns;
    return wait_ns;
}

uint64_t limiter_take(struct limiter *l, uint64_t key, const struct limiter_rate *rate,
                      uint64_t now_ns, uint64_t patience_ns)
{
    pthread_spinlock_t *spin;
    key += key == 0;
    struct bucket *b = lock_bucket(l, key, &spin);
    struct limiter_entry *e = find(b, key);
    if (!e) {
        e = find_least(b);
        *e = (struct limiter_entry){.key = key};
    }
    uint64_t wait_ns = take(e, rate, now_ns, patience_ns);
    pthread_spin_unlock(spin);
    return wait_ns;
}

/* ---- counts ---- */

static struct limiter_entry *find_place(struct bucket *b, uint64_t key)
{
    struct limiter_entry *e = find(b, key);
    if (e)
        return e;
    e = find_least(b);
    if (e->value)
        return &b->ways[key % WAYS];
    e->key = key;
    return e;
}

struct limiter_entry *limiter_enter(struct limiter *l, uint64_t key, uint32_t max)
{
    pthread_spinlock_t *spin;
    key += key == 0;
    struct bucket *b = lock_bucket(l, key, &spin);
    struct limiter_entry *e = find_place(b, key);
    bool is_free = e->value < max;
    e->value += is_free;
    pthread_spin_unlock(spin);
    return is_free ? e : NULL;
}

void limiter_leave(struct limiter *l, struct limiter_entry *e)
{
    size_t i = (size_t)(e - l->buckets[0].ways) / WAYS;
    pthread_spinlock_t *spin = &l->locks[i % LOCKS].spin;
    pthread_spin_lock(spin);
    e->value--;
    pthread_spin_unlock(spin);
}
