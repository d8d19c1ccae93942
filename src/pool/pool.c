/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/conn.h"
#include "pool/members.h"
#include "pool/pool_internal.h"

enum { LOCK_TRIES = 64, LOCK_PAUSE = 32 };

static void on_gone(struct post *post);
static void on_grow(struct post *post);

void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers)
{
    *p = (struct pool){.worker_count = workers, .retry_tokens = POOL_RETRY_START};
    atomic_init(&p->holds, 1);
    p->left.run = on_gone;
    p->grow.run = on_grow;
    pthread_spin_init(&p->lock, PTHREAD_PROCESS_PRIVATE);
    queue_init(&p->queue);
    list_init(&p->granted);
    list_init(&p->gone);
    p->random = loop_clock_us() | 1;
    p->workers = mem_zalloc(workers * sizeof(*p->workers));
    p->tally = tally_new(workers);
    pool_set_conf(p, conf);
}

void pool_set_tls(struct pool *p, struct tls_client *tls)
{
    pool_lock(p);
    struct tls_client *old = p->tls;
    p->tls = tls;
    pool_unlock(p);
    tls_client_unref(old);
}

struct tls_client *pool_tls(struct pool *p)
{
    pool_lock(p);
    struct tls_client *tls = p->tls ? tls_client_ref(p->tls) : NULL;
    pool_unlock(p);
    return tls;
}

void pool_fini(struct pool *p)
{
    struct list *node;
    for (uint32_t i = 0; i < p->count; i++)
        backend_unref(p->backends[i]);
    while ((node = list_shift(&p->gone)))
        backend_unref(container_of(node, struct backend, gone_node));
    wishes_fini(&p->wishes);
    free(p->backends);
    free(p->workers);
    tally_free(p->tally);
    tls_client_unref(p->tls);
    pthread_spin_destroy(&p->lock);
}

static void on_gone(struct post *post)
{
    struct pool *p = container_of(post, struct pool, left);
    p->on_gone(p);
}

/* True: that was the last, and nobody else may touch the pool any more. */
static bool let_go(struct pool *p)
{
    return atomic_fetch_sub_explicit(&p->holds, 1, memory_order_acq_rel) == 1;
}

void pool_abandon(struct pool *p, struct loop *home, void (*gone)(struct pool *p))
{
    p->home = home;
    p->on_gone = gone;
    if (let_go(p))
        gone(p);
}

void pool_unhold(struct pool *p)
{
    if (let_go(p))
        loop_post(p->home, &p->left);
}

void pool_lock_slowly_(struct pool *p)
{
    for (unsigned tries = 1; pthread_spin_trylock(&p->lock) != 0; tries++) {
        for (volatile unsigned pause = 0; pause < LOCK_PAUSE; pause++)
            ;
        if (tries % LOCK_TRIES == 0)
            sched_yield();
    }
}

/* ---- handing over ---- */

static struct waiter *waiter_of(struct queue_entry *e)
{
    return e ? container_of(e, struct waiter, entry) : NULL;
}

static const struct waiter *const_waiter_of(const struct queue_entry *e)
{
    return (const void *)((const char *)e - offsetof(struct waiter, entry));
}

/* Whether it would take a slot of this backend: not of one it has tried, of another than the one it
 * sticks to, or of a backup for the first time. */
static bool may_use(const void *backend, const struct queue_entry *e)
{
    const struct backend *b = backend;
    const struct waiter *w = const_waiter_of(e);
    const struct demand *d = w->demand;
    const struct backend *stuck = pool_find_stuck(w->pool, d);
    bool is_in_tier = !d->named.n && (b->tier <= w->pool->tier || d->tried.count);
    return !tried_has(&d->tried, b) && (stuck ? stuck == b : is_in_tier);
}

struct waiter *pool_first_waiter(struct pool *p, const struct backend *b)
{
    return p->queue.count ? waiter_of(queue_find(&p->queue, may_use, b)) : NULL;
}

static void free_waiter(struct waiter *w)
{
    struct pool *p = w->pool;
    free(w);
    pool_unhold(p);
}

/* Runs on the waiter's own worker. */
static void on_granted(struct post *post)
{
    struct waiter *w = container_of(post, struct waiter, post);
    struct conn *c = w->conn;
    if (c && !conn_attach(c, w->pool->workers[w->worker].loop, w->worker))
        c = NULL; /* closed meanwhile; the slot stays: leave to dial */
    if (w->owner) {
        w->granted(w->owner, w->grant, w->backend, c);
    } else if (w->grant == GRANT_SLOT || w->grant == GRANT_LANE) {
        static const struct pool_outcome nothing;
        if (c)
            conn_give(c);
        else if (w->grant == GRANT_LANE)
            pool_leave(w->pool, w->backend, w->worker, &nothing, 1);
        else
            pool_release(w->pool, w->backend, w->worker, &nothing);
        backend_unref(w->backend);
    }
    free_waiter(w);
}

/* With the lock held: w has the slot of b, and is no longer in the queue. */
static void grant(struct waiter *w, struct backend *b, struct conn *c, uint64_t now_us)
{
    queue_serve(&w->pool->queue, &w->entry, now_us);
    w->demand = NULL;
    w->grant = GRANT_SLOT;
    w->backend = b;
    w->conn = c;
}

/* With the lock held: w is told when it is released. */
static void tell_later(struct pool *p, struct waiter *w)
{
    p->has_news = true;
    list_append(&p->granted, &w->entry.by_age);
}

static void refuse(struct pool *p, struct waiter *w, enum grant why)
{
    queue_remove(&p->queue, &w->entry);
    w->demand = NULL;
    w->grant = why;
    tell_later(p, w);
}

static void post_grant(struct waiter *w)
{
    loop_post(w->pool->workers[w->worker].loop, &w->post);
}

/* At the end of the turn: nothing of the connection is on the old loop's stack any more. */
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

/* ---- what is done when the lock has been released ---- */

static void move_all(struct list *from, struct list *to)
{
    struct list *node;
    while ((node = list_shift(from)))
        list_append(to, node);
}

static void log_changes(struct pool *p, const struct pool_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_change *c = &changes[i];
        log_at(c->to == BACKEND_DOWN ? LEVEL_WARN : LEVEL_INFO, 0,
               "pool " SLICE_FMT " backend %s: %s -> %s: %s", SLICE_ARG(p->conf->name),
               c->backend->text, backend_state_name(c->from), backend_state_name(c->to), c->why);
        backend_unref(c->backend);
    }
}

void pool_tell_(struct pool *p)
{
    struct pool_change changes[POOL_CHANGES_MAX];
    uint32_t count = p->change_count;
    memcpy(changes, p->changes, count * sizeof(*changes));
    struct list granted, tidiers, *node;
    list_init(&granted);
    list_init(&tidiers);
    move_all(&p->granted, &granted);
    pool_find_tidiers(p, &tidiers);
    p->change_count = 0;
    p->has_news = false;
    pthread_spin_unlock(&p->lock);

    while ((node = list_shift(&granted)))
        post_grant(container_of(node, struct waiter, entry.by_age));
    while ((node = list_shift(&tidiers))) {
        struct pool_worker *pw = container_of(node, struct pool_worker, node);
        loop_post(pw->loop, &pw->tidy);
    }
    log_changes(p, changes, count);
}

/* ---- serving who waits; with the lock held ---- */

void pool_open_slot(struct pool *p, struct backend *b)
{
    b->busy++;
    b->open++;
    p->open++;
}

struct serving {
    struct pool *pool;
    struct backend *backend; /* found for the waiter */
    bool use_lanes;
    uint64_t now_us;
};

/* Whether a slot can be opened for it now. */
static bool may_serve(const void *ctx, const struct queue_entry *e)
{
    struct serving *s;
    memcpy(&s, ctx, sizeof(s));
    const struct waiter *w = const_waiter_of(e);
    s->backend = pool_choose(s->pool, w->worker, false, s->use_lanes, w->demand, s->now_us);
    return s->backend;
}

static bool is_hopeless(const void *pool, const struct queue_entry *e)
{
    return pool_why_none(pool, const_waiter_of(e)->demand) != PICK_WAIT;
}

static bool is_anybody(const void *ctx, const struct queue_entry *e)
{
    (void)ctx, (void)e;
    return true;
}

/* Whoever comes first is of a worker that has no lane, and others have: they are not given to who
 * comes behind, so that a connection gets free. */
static bool is_left_out(struct pool *p)
{
    const struct waiter *w = waiter_of(queue_find(&p->queue, is_anybody, NULL));
    bool may_open = p->open < p->max_open;
    for (uint32_t i = 0; w && i < p->count; i++) {
        const struct backend *b = p->backends[i];
        if (b->idle[w->worker].sharing || (may_open && b->open < b->max_open))
            return false;
    }
    return w;
}

static void serve(struct serving *s, struct waiter *w)
{
    struct pool *p = s->pool;
    struct backend *b = s->backend;
    bool has_lane = s->use_lanes && b->idle[w->worker].lanes > 0;
    if (has_lane) {
        pool_promise_lane(p, b, w->worker);
    } else {
        pool_open_slot(p, b);
        b->picked++;
    }
    grant(w, backend_ref(b), NULL, s->now_us);
    if (has_lane)
        w->grant = GRANT_LANE;
    tell_later(p, w);
}

void pool_serve(struct pool *p, uint64_t now_us)
{
    struct queue_entry *e;
    if (p->queue.count == 0)
        return;
    while ((e = queue_overdue(&p->queue, now_us)))
        refuse(p, waiter_of(e), GRANT_OVERLOAD);
    struct serving serving = {.pool = p, .now_us = now_us}, *s = &serving;
    s->use_lanes = p->lanes > 0 && !is_left_out(p);
    while ((p->open < p->max_open || (s->use_lanes && p->lanes > 0)) &&
           (e = queue_find(&p->queue, may_serve, &s)))
        serve(s, waiter_of(e));
    while (p->is_recounted && (e = queue_find(&p->queue, is_hopeless, p)))
        refuse(p, waiter_of(e), GRANT_NONE);
    p->is_recounted = false;
    if (p->queue.count && p->idle)
        p->has_news = p->tidy_wanted = true;
}

static void on_grow(struct post *post)
{
    struct pool *p = container_of(post, struct pool, grow);
    if (p->on_wait)
        p->on_wait(p->on_wait_ctx);
    pool_unhold(p);
}

/* Who grows the pool may be let go by the main thread meanwhile: it is asked there. */
static void want_growth(struct pool *p)
{
    if (!p->is_grown)
        return;
    pool_hold(p);
    if (!loop_post(p->home, &p->grow))
        pool_unhold(p);
}

void pool_close_slot(struct pool *p, struct backend *b)
{
    b->open--;
    p->open--;
    if (b->open == 0 && list_is_linked(&b->gone_node)) {
        list_remove(&b->gone_node);
        backend_unref(b); /* the caller has another */
    }
}

bool pool_has_left(struct pool *p, const struct backend *b)
{
    pool_lock(p);
    bool has_left = b->state == BACKEND_GONE;
    pool_unlock(p);
    return has_left;
}

static bool is_drained(const struct backend *b)
{
    return b->busy == 0 && b->max_open == 0;
}

void pool_release(struct pool *p, struct backend *b, uint32_t worker,
                  const struct pool_outcome *outcome)
{
    uint64_t now_us = pool_now_us(p, worker);
    pool_lock(p);
    b->busy--;
    pool_close_slot(p, b);
    health_note(p, b, outcome, now_us);
    pool_serve(p, now_us);
    bool drained = is_drained(b);
    pool_unlock(p);
    if (drained) /* whoever grows the pool waits for it, too */
        want_growth(p);
}

void pool_leave(struct pool *p, struct backend *b, uint32_t worker,
                const struct pool_outcome *outcome, int32_t lanes)
{
    uint64_t now_us = pool_now_us(p, worker);
    pool_lock(p);
    b->busy--;
    pool_change_lanes(p, b, worker, lanes);
    health_note(p, b, outcome, now_us);
    pool_serve(p, now_us);
    bool drained = is_drained(b);
    pool_unlock(p);
    if (drained)
        want_growth(p);
}

void pool_open_shared(struct pool *p, struct backend *b, uint32_t worker)
{
    pool_lock(p);
    b->idle[worker].sharing++;
    pool_unlock(p);
}

void pool_offer(struct pool *p, struct backend *b, uint32_t worker, int32_t lanes)
{
    pool_lock(p);
    pool_change_lanes(p, b, worker, lanes);
    if (lanes > 0)
        pool_serve(p, pool_now_us(p, worker));
    pool_unlock(p);
}

void pool_close_shared(struct pool *p, struct backend *b, uint32_t worker)
{
    pool_lock(p);
    b->idle[worker].sharing--;
    pool_close_slot(p, b);
    pool_serve(p, pool_now_us(p, worker));
    pool_unlock(p);
}

bool pool_is_worth_parking(const struct pool *p, const struct backend *b)
{
    bool serves = b->state == BACKEND_UP || b->state == BACKEND_TRIAL || p->states >> b->state & 1;
    return serves && b->open <= b->max_open && p->open <= p->max_open &&
           !atomic_load_explicit(&p->is_retired, memory_order_relaxed);
}

/* One that can be shared stays with its worker: a waiter of another may open one in its place. */
static bool is_wanted_elsewhere(struct pool *p, const struct conn *c)
{
    const struct waiter *w = c->on_idle ? pool_first_waiter(p, c->backend) : NULL;
    return w && w->worker != c->worker;
}

/* It is nobody's any more; of one that was shared, the requests have been seen to. */
static void end_use(struct pool *p, struct conn *c, uint64_t now_us)
{
    if (c->is_shared) {
        c->backend->idle[c->worker].sharing--;
        return;
    }
    c->backend->busy--;
    health_note(p, c->backend, &c->outcome, now_us);
    c->outcome = (struct pool_outcome){.verdict = VERDICT_NONE};
}

enum park pool_park(struct pool *p, struct conn *c)
{
    struct backend *b = c->backend;
    uint64_t now_us = pool_now_us(p, c->worker);
    enum park park = PARK_CLOSE;
    struct waiter *w = NULL;
    pool_lock(p);
    if (pool_is_worth_parking(p, b) && !is_wanted_elsewhere(p, c)) {
        end_use(p, c, now_us);
        w = pool_first_waiter(p, b);
        park = w ? PARK_HANDED : PARK_KEEP;
        if (w) {
            b->busy++;
            b->picked++;
            grant(w, backend_ref(b), c, now_us);
        } else {
            b->idle[c->worker].count++;
            p->idle++;
            pool_serve(p, now_us);
        }
    }
    pool_unlock(p);
    if (w)
        loop_defer(c->stream.loop, &w->hand_over);
    return park;
}

void pool_unpark(struct pool *p, struct backend *b, uint32_t worker)
{
    pool_lock(p);
    b->idle[worker].count--;
    p->idle--;
    pool_close_slot(p, b);
    pool_serve(p, pool_now_us(p, worker));
    pool_unlock(p);
}

/* ---- waiting ---- */

/* With the lock held. Room for one more, maybe at another's cost. */
static bool make_room(struct pool *p, const struct demand *d)
{
    if (p->queue.count < p->queue.max_count || d->is_again)
        return true;
    struct queue_entry *victim = queue_victim(&p->queue, d->class);
    if (victim)
        refuse(p, waiter_of(victim), GRANT_OVERLOAD);
    return victim;
}

struct waiter *pool_wait(struct pool *p, uint32_t worker, const struct demand *d, void *owner,
                         grant_fn *granted)
{
    struct waiter *w = mem_zalloc(sizeof(*w));
    *w = (struct waiter){.pool = p,
                         .worker = worker,
                         .demand = d,
                         .owner = owner,
                         .granted = granted,
                         .post = {.run = on_granted}};
    deferred_init(&w->hand_over, hand_over);
    list_init(&w->entry.by_age);
    pool_hold(p);
    uint64_t now_us = pool_now_us(p, worker);
    pool_lock(p);
    bool has_place = make_room(p, d);
    if (has_place) {
        enum queue_class class = d->is_again ? QUEUE_AGAIN : d->class;
        queue_add(&p->queue, &w->entry, class, d->client, now_us);
        pool_serve(p, now_us);
    }
    pool_unlock(p);
    if (has_place) {
        want_growth(p);
        return w;
    }
    free_waiter(w);
    return NULL;
}

void pool_unwait(struct waiter *w)
{
    struct pool *p = w->pool;
    pool_lock(p);
    bool is_queued = w->demand; /* else a grant is on its way: on_granted passes it on */
    if (is_queued)
        queue_remove(&p->queue, &w->entry);
    w->owner = NULL;
    pool_unlock(p);
    if (is_queued)
        free_waiter(w);
}

uint32_t pool_retry_after_s(struct pool *p)
{
    pool_lock(p);
    uint32_t s = queue_drain_s(&p->queue);
    pool_unlock(p);
    return s;
}
