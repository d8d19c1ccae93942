/* What a worker does with its idle connections when it is asked to: it gives them to who waits on
 * another, or closes those that are of no use.
 * SPDX-License-Identifier: MIT */
#include "pool/conn.h"
#include "pool/pool_internal.h"

enum { TIDY_PER_TURN = 64 };

static void on_tidy(struct post *post);

void pool_set_loop(struct pool *p, uint32_t worker, struct loop *loop)
{
    struct pool_worker *pw = &p->workers[worker];
    *pw = (struct pool_worker){.pool = p, .loop = loop, .tidy = {.run = on_tidy}};
    list_init(&pw->node);
}

/* ---- asking, with the lock held ---- */

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

void pool_find_tidiers(struct pool *p, struct list *tidiers)
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

/* ---- doing it ---- */

enum tidy { TIDY_NOTHING, TIDY_GIVE, TIDY_CLOSE };

static enum tidy use_of_idle(struct pool *p, const struct backend *b)
{
    if (!pool_is_worth_parking(p, b) || (b->health.wants_slot && b->open >= b->max_open))
        return TIDY_CLOSE;
    if (pool_first_waiter(p, b))
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
