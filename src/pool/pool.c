/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pool/conn.h"

#define BALANCER(kind, identifier) extern const struct balancer identifier;
#include "pool/balancers.def"
#undef BALANCER

static const struct balancer *const balancers[] = {
#define BALANCER(kind, identifier) [kind] = &identifier,
#include "pool/balancers.def"
#undef BALANCER
};

static void lock(struct pool *p)
{
    pthread_spin_lock(&p->lock);
}

static void unlock(struct pool *p)
{
    pthread_spin_unlock(&p->lock);
}

static void on_yield(struct post *post);

void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers)
{
    *p = (struct pool){.conf = conf,
                       .balancer = balancers[conf->balance],
                       .worker_count = workers,
                       .max_open = conf->max_conns ? conf->max_conns : UINT32_MAX};
    pthread_spin_init(&p->lock, PTHREAD_PROCESS_PRIVATE);
    list_init(&p->waiters);
    p->workers = mem_zalloc(workers * sizeof(*p->workers));
    p->tally = tally_new(workers);
}

void pool_set_loop(struct pool *p, uint32_t worker, struct loop *loop)
{
    p->workers[worker] = (struct pool_worker){.pool = p, .loop = loop, .yield = {.run = on_yield}};
}

void pool_fini(struct pool *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        backend_unref(p->backends[i]);
    free(p->backends);
    free(p->workers);
    tally_free(p->tally);
    pthread_spin_destroy(&p->lock);
}

/* ---- addresses ---- */

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

static void dispatch(struct pool *p);

/* The new list is made beside the old one and put in its place under the lock. */
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
                      : backend_new(conf, (const struct sockaddr *)&a->sa, a->len,
                                    p->worker_count);
    }

    struct backend **old = p->backends;
    uint32_t old_count = p->count;
    lock(p);
    p->backends = list;
    p->count = n;
    unlock(p);
    dispatch(p);
    for (uint32_t i = 0; i < old_count; i++)
        backend_unref(old[i]);
    free(old);
}

static const struct backend_conf *find_line(const struct pool_conf *conf, struct slice text)
{
    for (uint32_t i = 0; i < conf->backend_count; i++)
        if (slice_eq(conf->backends[i].text, text))
            return &conf->backends[i];
    return NULL;
}

/* With the lock held: backends whose line is gone end up in *left, at the end of the list. */
static void move_lines(struct pool *p, const struct pool_conf *conf, struct backend **left,
                       uint32_t *left_count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        bool is_process = b->slot != BACKEND_NO_SLOT;
        const struct backend_conf *line =
            is_process ? NULL : find_line(conf, b->conf->text);
        if (is_process) {
            p->backends[kept++] = b;
        } else if (line) {
            backend_set_conf(b, line);
            p->backends[kept++] = b;
        } else {
            left[(*left_count)++] = b;
        }
    }
    p->count = kept;
}

void pool_set_conf(struct pool *p, const struct pool_conf *conf)
{
    struct backend **left = mem_alloc(p->count * sizeof(*left));
    uint32_t left_count = 0;
    lock(p);
    move_lines(p, conf, left, &left_count);
    p->conf = conf;
    p->balancer = balancers[conf->balance];
    p->max_open = conf->max_conns ? conf->max_conns : UINT32_MAX;
    unlock(p);
    dispatch(p);
    for (uint32_t i = 0; i < left_count; i++)
        backend_unref(left[i]);
    free(left);
}

/* ---- processes ---- */

void pool_set_grower(struct pool *p, void (*on_wait)(void *ctx), void *ctx)
{
    p->on_wait_ctx = ctx;
    p->on_wait = on_wait;
}

static struct backend *find_slot(struct pool *p, uint32_t slot)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->slot == slot)
            return p->backends[i];
    return NULL;
}

/* Puts b at the end of the list, or takes the one at index `without` out of it: a new list in the
 * place of the old one. */
static void replace_list(struct pool *p, struct backend *with, uint32_t without)
{
    struct backend **list = mem_alloc((p->count + 1) * sizeof(*list)), **old = p->backends;
    struct backend *gone = without < p->count ? p->backends[without] : NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->count; i++)
        if (i != without)
            list[n++] = p->backends[i];
    if (with)
        list[n++] = with;
    lock(p);
    p->backends = list;
    p->count = n;
    unlock(p);
    free(old);
    if (gone)
        backend_unref(gone);
}

void pool_put_slot(struct pool *p, uint32_t slot, const struct pool_address *address,
                   uint32_t capacity)
{
    static const struct backend_conf process = {.weight = 1, .text = SLICE_INIT("localhost")};
    struct backend *b = find_slot(p, slot);
    if (b && !is_at(b, &process, address)) {
        pool_drop_slot(p, slot);
        b = NULL;
    }
    if (!b) {
        b = backend_new(&process, (const struct sockaddr *)&address->sa, address->len,
                        p->worker_count);
        b->slot = slot;
        b->max_open = capacity;
        replace_list(p, b, UINT32_MAX);
    }
    lock(p);
    b->max_open = capacity;
    unlock(p);
    dispatch(p);
}

void pool_drop_slot(struct pool *p, uint32_t slot)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->slot == slot) {
            replace_list(p, NULL, i);
            return;
        }
}

struct slot_load pool_slot_load(struct pool *p, uint32_t slot)
{
    struct slot_load load = {0};
    lock(p);
    const struct backend *b = find_slot(p, slot);
    if (b)
        load = (struct slot_load){.busy = b->busy, .served = b->served};
    unlock(p);
    return load;
}

uint32_t pool_waiting(struct pool *p)
{
    lock(p);
    uint32_t waiting = p->waiting;
    unlock(p);
    return waiting;
}

/* The i-th backend, with a reference; NULL behind the last. */
static struct backend *backend_at(struct pool *p, uint32_t i)
{
    lock(p);
    struct backend *b = i < p->count ? backend_ref(p->backends[i]) : NULL;
    unlock(p);
    return b;
}

void pool_retire(struct pool *p, uint32_t worker)
{
    struct backend *b;
    atomic_store(&p->is_retired, true);
    for (uint32_t i = 0; (b = backend_at(p, i)); i++) {
        conn_close_idle(b, worker);
        backend_unref(b);
    }
}

/* ---- slots, with the lock held ---- */

static struct backend *choose(struct pool *p, uint32_t worker, const struct tried *tried)
{
    struct choice choice = {.backends = p->backends,
                            .count = p->count,
                            .tried = tried,
                            .worker = worker,
                            .may_open = p->open < p->max_open};
    return p->balancer->pick(&choice);
}

static bool may_open(const struct pool *p, const struct backend *b)
{
    return p->open < p->max_open && b->open < b->max_open;
}

static void open_slot(struct pool *p, struct backend *b)
{
    b->busy++;
    b->served++;
    b->open++;
    p->open++;
}

static enum pick take_slot(struct pool *p, struct backend *b, uint32_t worker)
{
    if (b->idle[worker].count == 0) {
        open_slot(p, b);
        return PICK_DIAL;
    }
    b->idle[worker].count--;
    b->busy++;
    b->served++;
    return PICK_IDLE;
}

static bool any_untried(const struct pool *p, const struct tried *tried)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (!tried_has(tried, p->backends[i]))
            return true;
    return false;
}

enum pick pool_pick(struct pool *p, uint32_t worker, const struct tried *tried, bool again,
                    struct backend **backend)
{
    enum pick pick = PICK_WAIT;
    lock(p);
    if (again || list_is_empty(&p->waiters)) {
        *backend = choose(p, worker, tried);
        if (*backend)
            pick = take_slot(p, backend_ref(*backend), worker);
        else if (!p->on_wait && !any_untried(p, tried))
            pick = PICK_NONE;
    }
    unlock(p);
    return pick;
}

/* ---- handing over ---- */

static struct waiter *first_waiter_for(struct pool *p, const struct backend *b)
{
    list_each (node, &p->waiters) {
        struct waiter *w = container_of(node, struct waiter, node);
        if (!tried_has(w->tried, b))
            return w;
    }
    return NULL;
}

/* Runs on the waiter's own worker. */
static void on_granted(struct post *post)
{
    struct waiter *w = container_of(post, struct waiter, post);
    struct conn *c = w->conn;
    if (c && !conn_attach(c, w->pool->workers[w->worker].loop, w->worker))
        c = NULL; /* closed meanwhile; the slot stays: leave to dial */
    if (w->owner) {
        w->granted(w->owner, w->backend, c);
    } else {
        if (c)
            conn_give(c);
        else
            pool_release(w->pool, w->backend);
        backend_unref(w->backend);
    }
    free(w);
}

/* With the lock held: w has the slot of b, and is no longer in the queue. */
static void grant(struct waiter *w, struct backend *b, struct conn *c)
{
    list_remove(&w->node);
    w->pool->waiting--;
    w->tried = NULL;
    w->backend = b;
    w->conn = c;
}

static void post_grant(struct waiter *w)
{
    loop_post(w->pool->workers[w->worker].loop, &w->post);
}

/* Another worker's idle connection could serve the waiter: ask for it. With the lock held; answers
 * the worker to be asked. */
static struct pool_worker *find_yield(struct pool *p, const struct waiter *w)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        for (uint32_t k = 0; k < b->idle_lists; k++) {
            if (b->idle[k].count && !tried_has(w->tried, b) && !p->workers[k].yield_posted) {
                p->workers[k].yield_posted = true;
                return &p->workers[k];
            }
        }
    }
    return NULL;
}

/* Serves waiters from slots that are free; asks for idle connections of others where none is. */
static void dispatch(struct pool *p)
{
    for (;;) {
        struct pool_worker *yielder = NULL;
        struct waiter *served = NULL;
        lock(p);
        struct list *node = list_first(&p->waiters);
        if (node) {
            struct waiter *w = container_of(node, struct waiter, node);
            struct backend *b = choose(p, w->worker, w->tried);
            if (b && may_open(p, b)) {
                open_slot(p, b);
                grant(w, backend_ref(b), NULL);
                served = w;
            } else {
                yielder = find_yield(p, w);
            }
        }
        unlock(p);
        if (yielder)
            loop_post(yielder->loop, &yielder->yield);
        if (!served)
            return;
        post_grant(served);
    }
}

void pool_release(struct pool *p, struct backend *b)
{
    lock(p);
    b->open--;
    b->busy--;
    p->open--;
    bool waiting = !list_is_empty(&p->waiters);
    bool is_drained = b->busy == 0 && b->max_open == 0;
    unlock(p);
    void (*on_wait)(void *ctx) = p->on_wait;
    if (waiting)
        dispatch(p);
    if (is_drained && on_wait) /* whoever grows the pool waits for it, too */
        on_wait(p->on_wait_ctx);
}

enum park pool_park(struct pool *p, struct conn *c)
{
    struct backend *b = c->backend;
    enum park park = PARK_IDLE;
    struct waiter *w = NULL;
    lock(p);
    if (b->open > b->max_open || p->open > p->max_open) {
        park = PARK_FULL;
    } else if ((w = first_waiter_for(p, b))) {
        park = PARK_HANDED;
        b->served++;
        grant(w, backend_ref(b), c);
    } else {
        b->busy--;
        b->idle[c->worker].count++;
    }
    unlock(p);
    if (w)
        loop_defer(c->stream.loop, &w->hand_over);
    return park;
}

/* At the end of the turn: no event of the connection is left in the old loop's hands. */
static void hand_over(struct deferred *d)
{
    struct waiter *w = container_of(d, struct waiter, hand_over);
    if (w->conn->worker == w->worker) {
        on_granted(&w->post);
        return;
    }
    conn_detach(w->conn);
    post_grant(w);
}

void pool_unpark(struct pool *p, struct backend *b, uint32_t worker)
{
    lock(p);
    b->idle[worker].count--;
    b->open--;
    p->open--;
    bool waiting = !list_is_empty(&p->waiters);
    unlock(p);
    if (waiting)
        dispatch(p);
}

/* A backend of which this worker has an idle connection that the first waiter could use; it is
 * counted as busy from here on. A reference, or NULL. */
static struct backend *promise_idle(struct pool *p, uint32_t worker)
{
    struct backend *found = NULL;
    lock(p);
    struct list *node = list_first(&p->waiters);
    const struct waiter *w = node ? container_of(node, struct waiter, node) : NULL;
    for (uint32_t i = 0; w && !found && i < p->count; i++) {
        struct backend *b = p->backends[i];
        if (b->idle[worker].count && !tried_has(w->tried, b))
            found = backend_ref(b);
    }
    if (found) {
        found->idle[worker].count--;
        found->busy++;
    }
    unlock(p);
    return found;
}

/* Runs on the worker that was asked: gives its idle connections to who waits. */
static void on_yield(struct post *post)
{
    struct pool_worker *pw = container_of(post, struct pool_worker, yield);
    struct pool *p = pw->pool;
    uint32_t worker = (uint32_t)(pw - p->workers);
    lock(p);
    pw->yield_posted = false;
    unlock(p);
    struct backend *b;
    while ((b = promise_idle(p, worker))) {
        conn_give(conn_take_idle(b, worker)); /* as if an exchange had just finished with it */
        backend_unref(b);
    }
}

/* ---- waiting ---- */

struct waiter *pool_wait(struct pool *p, uint32_t worker, const struct tried *tried, bool again,
                         void *owner,
                         void (*granted)(void *owner, struct backend *b, struct conn *c))
{
    struct waiter *w = mem_zalloc(sizeof(*w));
    *w = (struct waiter){.pool = p, .worker = worker, .tried = tried, .owner = owner,
                         .granted = granted, .post = {.run = on_granted}};
    deferred_init(&w->hand_over, hand_over);
    list_init(&w->node);
    lock(p);
    bool full = p->waiting >= p->conf->queue_length && !again;
    if (!full) {
        p->waiting++;
        if (again)
            list_push(&p->waiters, &w->node);
        else
            list_append(&p->waiters, &w->node);
    }
    unlock(p);
    if (full) {
        free(w);
        return NULL;
    }
    dispatch(p);
    void (*on_wait)(void *ctx) = p->on_wait;
    if (on_wait)
        on_wait(p->on_wait_ctx);
    return w;
}

void pool_unwait(struct waiter *w)
{
    struct pool *p = w->pool;
    lock(p);
    bool queued = list_is_linked(&w->node);
    if (queued) {
        list_remove(&w->node);
        p->waiting--;
    }
    w->owner = NULL; /* a grant may be on its way: on_granted passes it on */
    unlock(p);
    if (queued)
        free(w);
}
