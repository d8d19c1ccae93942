/* SPDX-License-Identifier: MIT */
#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/conn.h"
#include "pool/members.h"
#include "pool/pool_internal.h"

enum { RETRY_COST = 100, RETRY_START = 100 * RETRY_COST, RETRY_MAX = 1000 * RETRY_COST };
enum { TIDY_PER_TURN = 64 };

static void on_tidy(struct post *post);
static void on_gone(struct post *post);
static void on_grow(struct post *post);

void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers)
{
    *p = (struct pool){.worker_count = workers, .retry_tokens = RETRY_START};
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

void pool_set_loop(struct pool *p, uint32_t worker, struct loop *loop)
{
    struct pool_worker *pw = &p->workers[worker];
    *pw = (struct pool_worker){.pool = p, .loop = loop, .tidy = {.run = on_tidy}};
    list_init(&pw->node);
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

static uint64_t now_of(const struct pool *p, uint32_t worker)
{
    return p->workers[worker].loop->now_us;
}

/* ---- slots, with the lock held ---- */

/* The backend that the request's cookie names, or that an answer has named, as long as it serves at
 * all. */
static struct backend *find_stuck(const struct pool *p, const struct demand *d)
{
    uint32_t states = p->states | 1u << BACKEND_DRAINING;
    for (uint32_t i = 0; (d->stick || d->named.n) && i < p->count; i++) {
        struct backend *b = p->backends[i];
        bool is_it = d->named.n ? slice_eq(slice_str(b->text), d->named) : b->stick == d->stick;
        if (is_it && states >> b->state & 1 && !tried_has(&d->tried, b))
            return b;
    }
    return NULL;
}

/* Goes on with the next tier if all of this one have been tried; false: none is left, or they are
 * only busy. */
static bool next_tier(struct choice *c)
{
    uint32_t next = UINT32_MAX;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct backend *b = c->backends[i];
        if (!(c->states >> b->state & 1) || tried_has(c->tried, b))
            continue;
        if (b->tier == c->tier)
            return false;
        if (b->tier > c->tier && b->tier < next)
            next = b->tier;
    }
    c->tier = next;
    return next != UINT32_MAX;
}

/* A backend with room for another connection, or (use_idle) an idle one of this worker; NULL:
 * none. */
static struct backend *choose(struct pool *p, uint32_t worker, bool use_idle, bool use_lanes,
                              const struct demand *d, uint64_t now_us)
{
    struct choice choice = {.backends = p->backends,
                            .count = p->count,
                            .tried = &d->tried,
                            .states = p->states,
                            .tier = p->tier,
                            .worker = worker,
                            .use_idle = use_idle,
                            .use_lanes = use_lanes,
                            .may_open = p->open < p->max_open,
                            .key = d->key,
                            .now_us = now_us,
                            .random = &p->random};
    struct backend *b = now_us >= p->trial_us ? health_trial(p, d, &choice) : NULL;
    if (b)
        return b;
    b = find_stuck(p, d);
    if (b)
        return choice_has_room(&choice, b) ? b : NULL; /* it is waited for */
    if (d->named.n)
        return NULL;
    do
        b = p->balancer->pick(&choice);
    while (!b && p->tiers > 1 && next_tier(&choice));
    return b;
}

void pool_open_slot(struct pool *p, struct backend *b)
{
    b->busy++;
    b->open++;
    p->open++;
}

static void change_lanes(struct pool *p, struct backend *b, uint32_t worker, int32_t n)
{
    b->idle[worker].lanes += n;
    p->lanes += n;
}

static void promise_lane(struct pool *p, struct backend *b, uint32_t worker)
{
    change_lanes(p, b, worker, -1);
    b->busy++;
    b->counts.picked++;
}

static enum pick take_slot(struct pool *p, struct backend *b, uint32_t worker)
{
    if (b->idle[worker].lanes > 0) {
        promise_lane(p, b, worker);
        return PICK_LANE;
    }
    if (b->idle[worker].count == 0) {
        pool_open_slot(p, b);
        b->counts.picked++;
        return PICK_DIAL;
    }
    b->idle[worker].count--;
    p->idle--;
    b->busy++;
    b->counts.picked++;
    return PICK_IDLE;
}

/* PICK_WAIT if there is a backend to wait for. */
static enum pick why_none(const struct pool *p, const struct demand *d)
{
    bool is_down = false;
    if (d->named.n)
        return find_stuck(p, d) ? PICK_WAIT : PICK_NONE;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct backend *b = p->backends[i];
        if (p->states >> b->state & 1 && !tried_has(&d->tried, b))
            return PICK_WAIT;
        is_down |= b->state == BACKEND_DOWN || b->state == BACKEND_TRIAL;
    }
    if (p->is_grown || find_stuck(p, d))
        return PICK_WAIT;
    return is_down && p->up == 0 ? PICK_DOWN : PICK_NONE;
}

/* First attempts earn what retries spend. */
static bool pay(struct pool *p, const struct demand *d)
{
    if (!d->is_again && p->hedge_tokens < RETRY_MAX)
        p->hedge_tokens += p->conf->hedge_budget;
    if (p->conf->retry_budget == 0)
        return true;
    if (!d->is_again) {
        uint32_t tokens = p->retry_tokens + p->conf->retry_budget;
        p->retry_tokens = tokens < RETRY_MAX ? tokens : RETRY_MAX;
    } else if (d->is_retry) {
        if (p->retry_tokens < RETRY_COST)
            return false;
        p->retry_tokens -= RETRY_COST;
    }
    return true;
}

enum pick pool_pick(struct pool *p, uint32_t worker, const struct demand *d,
                    struct backend **backend)
{
    enum pick pick = PICK_WAIT;
    pool_lock(p);
    if (!pay(p, d)) {
        pick = PICK_BUDGET;
    } else if (d->is_again || p->queue.count == 0) {
        *backend = choose(p, worker, true, true, d, now_of(p, worker));
        pick = *backend ? take_slot(p, backend_ref(*backend), worker) : why_none(p, d);
    }
    pool_unlock(p);
    return pick;
}

enum pick pool_hedge(struct pool *p, uint32_t worker, const struct demand *d,
                     struct backend **backend)
{
    enum pick pick = PICK_NONE;
    pool_lock(p);
    bool may = p->queue.count == 0 && p->hedge_tokens >= RETRY_COST;
    *backend = may ? choose(p, worker, true, false, d, now_of(p, worker)) : NULL;
    if (*backend) {
        p->hedge_tokens -= RETRY_COST;
        pick = take_slot(p, backend_ref(*backend), worker);
    }
    pool_unlock(p);
    return pick;
}

/* Every address of a name has the name's line as its host, and so has nobody else of that line. */
static struct backend *find_sibling(const struct choice *c, const struct backend *of)
{
    struct backend *found = NULL;
    for (uint32_t i = 0; i < c->count; i++) {
        struct backend *b = c->backends[i];
        bool is_sibling = b != of && b->tier == of->tier && strcmp(b->host, of->host) == 0 &&
                          c->states >> b->state & 1 && !tried_has(c->tried, b);
        bool is_other = b->addr.ss_family != of->addr.ss_family;
        if (is_sibling && choice_has_room(c, b) && (!found || is_other))
            found = b;
        if (found && found->addr.ss_family != of->addr.ss_family)
            break;
    }
    return found;
}

enum pick pool_race(struct pool *p, uint32_t worker, const struct tried *tried,
                    const struct backend *of, struct backend **backend)
{
    pool_lock(p);
    const struct choice choice = {.backends = p->backends,
                                  .count = p->count,
                                  .tried = tried,
                                  .states = p->states,
                                  .worker = worker,
                                  .may_open = p->open < p->max_open};
    *backend = p->queue.count == 0 ? find_sibling(&choice, of) : NULL;
    if (*backend) {
        pool_open_slot(p, backend_ref(*backend));
        (*backend)->counts.picked++;
    }
    pool_unlock(p);
    return *backend ? PICK_DIAL : PICK_NONE;
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
    const struct backend *stuck = find_stuck(w->pool, d);
    bool is_in_tier = !d->named.n && (b->tier <= w->pool->tier || d->tried.count);
    return !tried_has(&d->tried, b) && (stuck ? stuck == b : is_in_tier);
}

/* With the lock held. */
static struct waiter *first_waiter_for(struct pool *p, const struct backend *b)
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

/* ---- what is done when the lock has been released ---- */

static bool has_idle(const struct pool *p, uint32_t worker)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->backends[i]->idle[worker].count)
            return true;
    list_each (node, &p->gone)
        if (container_of(node, struct backend, gone_node)->idle[worker].count)
            return true;
    return false;
}

/* With the lock held: puts the workers that have idle connections to see to on a list. */
static void find_tidiers(struct pool *p, struct list *tidiers)
{
    for (uint32_t k = 0; p->tidy_wanted && k < p->worker_count; k++) {
        struct pool_worker *pw = &p->workers[k];
        if (pw->loop && !pw->tidy_posted && has_idle(p, k)) {
            pw->tidy_posted = true;
            pool_hold(p);
            list_append(tidiers, &pw->node);
        }
    }
    p->tidy_wanted = false;
}

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
    find_tidiers(p, &tidiers);
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
    s->backend = choose(s->pool, w->worker, false, s->use_lanes, w->demand, s->now_us);
    return s->backend;
}

static bool is_hopeless(const void *pool, const struct queue_entry *e)
{
    return why_none(pool, const_waiter_of(e)->demand) != PICK_WAIT;
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
        promise_lane(p, b, w->worker);
    } else {
        pool_open_slot(p, b);
        b->counts.picked++;
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
    atomic_store(&p->is_asked, false); /* before the look: what comes later posts again */
    if (p->on_wait)
        p->on_wait(p->on_wait_ctx);
    pool_unhold(p);
}

/* Who grows the pool may be let go by the main thread meanwhile: it is asked there. */
static void want_growth(struct pool *p)
{
    if (!p->is_grown || atomic_exchange(&p->is_asked, true))
        return;
    pool_hold(p);
    loop_post(p->home, &p->grow);
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

static bool is_drained(const struct backend *b)
{
    return b->busy == 0 && b->max_open == 0;
}

void pool_release(struct pool *p, struct backend *b, uint32_t worker,
                  const struct pool_outcome *outcome)
{
    uint64_t now_us = now_of(p, worker);
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
    uint64_t now_us = now_of(p, worker);
    pool_lock(p);
    b->busy--;
    change_lanes(p, b, worker, lanes);
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
    change_lanes(p, b, worker, lanes);
    if (lanes > 0)
        pool_serve(p, now_of(p, worker));
    pool_unlock(p);
}

void pool_close_shared(struct pool *p, struct backend *b, uint32_t worker)
{
    pool_lock(p);
    b->idle[worker].sharing--;
    pool_close_slot(p, b);
    pool_serve(p, now_of(p, worker));
    pool_unlock(p);
}

static bool is_worth_parking(const struct pool *p, const struct backend *b)
{
    bool serves = b->state == BACKEND_UP || b->state == BACKEND_TRIAL || p->states >> b->state & 1;
    return serves && b->open <= b->max_open && p->open <= p->max_open &&
           !atomic_load_explicit(&p->is_retired, memory_order_relaxed);
}

/* One that can be shared stays with its worker: a waiter of another may open one in its place. */
static bool is_wanted_elsewhere(struct pool *p, const struct conn *c)
{
    const struct waiter *w = c->on_idle ? first_waiter_for(p, c->backend) : NULL;
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
    uint64_t now_us = now_of(p, c->worker);
    enum park park = PARK_CLOSE;
    struct waiter *w = NULL;
    pool_lock(p);
    if (is_worth_parking(p, b) && !is_wanted_elsewhere(p, c)) {
        end_use(p, c, now_us);
        w = first_waiter_for(p, b);
        park = w ? PARK_HANDED : PARK_KEEP;
        if (w) {
            b->busy++;
            b->counts.picked++;
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
    pool_serve(p, now_of(p, worker));
    pool_unlock(p);
}

/* ---- tidying: what a worker does with its idle connections when asked ---- */

enum tidy { TIDY_NOTHING, TIDY_GIVE, TIDY_CLOSE };

static enum tidy use_of_idle(struct pool *p, const struct backend *b)
{
    if (!is_worth_parking(p, b) || (b->health.wants_slot && b->open >= b->max_open))
        return TIDY_CLOSE;
    if (first_waiter_for(p, b))
        return TIDY_GIVE;
    /* Nobody who waits wants it, and the pool's limit keeps them from opening another. */
    return p->queue.count && p->open >= p->max_open ? TIDY_CLOSE : TIDY_NOTHING;
}

static struct backend *take_idle(struct pool *p, struct backend *b, uint32_t worker)
{
    b->idle[worker].count--;
    p->idle--;
    b->busy++;
    return backend_ref(b);
}

/* A backend of which this worker has an idle connection to be given away or closed; it is counted
 * as busy from here on. A reference, or NULL. */
static struct backend *find_idle(struct pool *p, uint32_t worker, enum tidy *what)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        *what = b->idle[worker].count ? use_of_idle(p, b) : TIDY_NOTHING;
        if (*what != TIDY_NOTHING)
            return take_idle(p, b, worker);
    }
    list_each (node, &p->gone) {
        struct backend *b = container_of(node, struct backend, gone_node);
        *what = TIDY_CLOSE;
        if (b->idle[worker].count)
            return take_idle(p, b, worker);
    }
    return NULL;
}

/* Comes back in the next turn, unless it is to come anyway. */
static void tidy_later(struct pool *p, uint32_t worker)
{
    struct pool_worker *pw = &p->workers[worker];
    pool_lock(p);
    bool is_to_come = pw->tidy_posted;
    pw->tidy_posted = true;
    pool_unlock(p);
    if (is_to_come)
        return;
    pool_hold(p);
    loop_post(pw->loop, &pw->tidy);
}

/* Thousands may be of no use at once: the worker has others to see to. */
static void tidy(struct pool *p, uint32_t worker)
{
    const struct loop *loop = p->workers[worker].loop;
    for (int i = 0; i < TIDY_PER_TURN && !(i && loop_turn_is_long(loop)); i++) {
        enum tidy what = TIDY_NOTHING;
        pool_lock(p);
        struct backend *b = find_idle(p, worker, &what);
        pool_unlock(p);
        if (!b)
            return;
        struct conn *c = conn_take_idle(b, worker);
        if (what == TIDY_GIVE)
            conn_give(c); /* as if an exchange had just finished with it */
        else
            conn_close(c);
        backend_unref(b);
    }
    tidy_later(p, worker);
}

static void on_tidy(struct post *post)
{
    struct pool_worker *pw = container_of(post, struct pool_worker, tidy);
    struct pool *p = pw->pool;
    pool_lock(p);
    pw->tidy_posted = false;
    pool_unlock(p);
    tidy(p, (uint32_t)(pw - p->workers));
    pool_unhold(p);
}

void pool_retire(struct pool *p, uint32_t worker)
{
    atomic_store(&p->is_retired, true);
    tidy(p, worker);
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
    uint64_t now_us = now_of(p, worker);
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
