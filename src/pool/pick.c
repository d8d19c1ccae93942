/* Who is picked for a request: the balancer's choice among those with room, the one it sticks to,
 * one that is on trial; and out of which budget. SPDX-License-Identifier: MIT */
#include <string.h>

#include "pool/pool_internal.h"

/* ---- with the lock held ---- */

struct backend *pool_find_stuck(const struct pool *p, const struct demand *d)
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

struct backend *pool_choose(struct pool *p, uint32_t worker, bool use_idle, bool use_lanes,
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
    b = pool_find_stuck(p, d);
    if (b)
        return choice_has_room(&choice, b) ? b : NULL; /* it is waited for */
    if (d->named.n)
        return NULL;
    do
        b = p->balancer->pick(&choice);
    while (!b && p->tiers > 1 && next_tier(&choice));
    return b;
}

void pool_change_lanes(struct pool *p, struct backend *b, uint32_t worker, int32_t n)
{
    b->idle[worker].lanes += n;
    p->lanes += n;
}

void pool_promise_lane(struct pool *p, struct backend *b, uint32_t worker)
{
    pool_change_lanes(p, b, worker, -1);
    b->busy++;
    b->picked++;
}

/* With a reference for the caller, but for an idle connection, which has one. */
static enum pick take_slot(struct pool *p, struct backend *b, uint32_t worker)
{
    if (b->idle[worker].lanes > 0) {
        pool_promise_lane(p, backend_ref(b), worker);
        return PICK_LANE;
    }
    if (b->idle[worker].count == 0) {
        pool_open_slot(p, backend_ref(b));
        b->picked++;
        return PICK_DIAL;
    }
    b->idle[worker].count--;
    p->idle--;
    b->busy++;
    b->picked++;
    return PICK_IDLE;
}

enum pick pool_why_none(const struct pool *p, const struct demand *d)
{
    bool is_down = false;
    if (d->named.n)
        return pool_find_stuck(p, d) ? PICK_WAIT : PICK_NONE;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct backend *b = p->backends[i];
        if (p->states >> b->state & 1 && !tried_has(&d->tried, b))
            return PICK_WAIT;
        is_down |= b->state == BACKEND_DOWN || b->state == BACKEND_TRIAL;
    }
    if (p->is_grown || pool_find_stuck(p, d))
        return PICK_WAIT;
    return is_down && p->up == 0 ? PICK_DOWN : PICK_NONE;
}

/* First attempts earn what retries spend. */
static bool pay(struct pool *p, const struct demand *d)
{
    if (!d->is_again && p->hedge_tokens < POOL_RETRY_MAX)
        p->hedge_tokens += p->conf->hedge_budget;
    if (p->conf->retry_budget == 0)
        return true;
    if (!d->is_again) {
        uint32_t tokens = p->retry_tokens + p->conf->retry_budget;
        p->retry_tokens = tokens < POOL_RETRY_MAX ? tokens : POOL_RETRY_MAX;
    } else if (d->is_retry) {
        if (p->retry_tokens < POOL_RETRY_COST)
            return false;
        p->retry_tokens -= POOL_RETRY_COST;
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
        *backend = pool_choose(p, worker, true, true, d, pool_now_us(p, worker));
        pick = *backend ? take_slot(p, *backend, worker) : pool_why_none(p, d);
    }
    pool_unlock(p);
    return pick;
}

enum pick pool_hedge(struct pool *p, uint32_t worker, const struct demand *d,
                     struct backend **backend)
{
    enum pick pick = PICK_NONE;
    pool_lock(p);
    bool may = p->queue.count == 0 && p->hedge_tokens >= POOL_RETRY_COST;
    *backend = may ? pool_choose(p, worker, true, false, d, pool_now_us(p, worker)) : NULL;
    if (*backend) {
        p->hedge_tokens -= POOL_RETRY_COST;
        pick = take_slot(p, *backend, worker);
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
        (*backend)->picked++;
    }
    pool_unlock(p);
    return *backend ? PICK_DIAL : PICK_NONE;
}
