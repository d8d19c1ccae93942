/* What requests show of backends: who is marked down, for how long, and how it comes back.
 *
 * Failures in a row, or too many errors or too long latencies in a window, take a backend down for
 * a pause, which doubles when it fails again soon. Then one request is its trial, unless probes
 * run: those bring it back.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/log.h"
#include "pool/pool_internal.h"

enum { EWMA_TAU_US = 3000000, UNSAFE_WAIT_US = 1000000 };

/* ---- states ---- */

static void note_change(struct pool *p, struct backend *b, enum backend_state to, const char *why)
{
    p->has_news = true;
    if (p->change_count < POOL_CHANGES_MAX)
        p->changes[p->change_count++] = (struct pool_change){backend_ref(b), b->state, to, why};
}

static bool may_be_picked(const struct backend *b)
{
    return b->state == BACKEND_UP || b->state == BACKEND_TRIAL || b->state == BACKEND_DOWN;
}

static void count_tier(struct pool *p, const struct backend *b)
{
    bool is_new = true;
    for (uint32_t i = 0; is_new && p->backends[i] != b; i++)
        is_new = p->backends[i]->tier != b->tier;
    p->tiers += is_new;
}

void pool_recount(struct pool *p)
{
    p->up = p->tiers = 0;
    p->trial_us = UINT64_MAX;
    uint32_t lowest = UINT32_MAX, lowest_up = UINT32_MAX;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct backend *b = p->backends[i];
        count_tier(p, b);
        if (may_be_picked(b) && b->tier < lowest)
            lowest = b->tier;
        if (b->state == BACKEND_UP && b->tier < lowest_up)
            lowest_up = b->tier;
        p->up += b->state == BACKEND_UP;
        bool waits = b->state == BACKEND_DOWN && !b->health.is_probed;
        if (waits && b->health.retry_us < p->trial_us)
            p->trial_us = b->health.retry_us;
    }
    bool is_desperate = p->up == 0 && p->conf->all_down == ALL_DOWN_TRY;
    p->tier = p->up ? lowest_up : lowest;
    p->states = 1u << BACKEND_UP;
    p->is_recounted = true;
    if (is_desperate)
        p->states |= 1u << BACKEND_TRIAL | 1u << BACKEND_DOWN;
}

void backend_enter(struct pool *p, struct backend *b, enum backend_state state, const char *why,
                   uint64_t now_us)
{
    if (b->state == state)
        return;
    note_change(p, b, state, why);
    bool comes_back = state == BACKEND_UP && b->state != BACKEND_UP;
    if (comes_back && p->conf->slow_ms) {
        b->warm_from_us = now_us;
        b->warm_until_us = now_us + p->conf->slow_ms * UINT64_C(1000);
    }
    b->state = state;
    b->health.since_us = now_us;
    b->health.why = why;
    b->health.fails = 0;
    b->health.window_us = 0;
    b->credit = 0;
    if (state != BACKEND_UP && state != BACKEND_TRIAL)
        p->has_news = p->tidy_wanted = true; /* its idle connections are of no use */
    pool_recount(p);
}

/* ---- marks ---- */

static void mark_down(struct pool *p, struct backend *b, const char *why, uint64_t now_us)
{
    const struct pool_conf *conf = p->conf;
    struct health *h = &b->health;
    uint64_t lasted_us = pool_passed(h->since_us, now_us);
    bool is_soon = b->state == BACKEND_TRIAL || lasted_us < h->backoff_ms * UINT64_C(2000);
    uint32_t ms = h->backoff_ms && is_soon ? h->backoff_ms * 2 : conf->fail_backoff_ms;
    h->backoff_ms = ms < conf->fail_max_ms ? ms : conf->fail_max_ms;
    h->retry_us = now_us + h->backoff_ms * UINT64_C(1000);
    b->counts.downs++;
    backend_enter(p, b, BACKEND_DOWN, why, now_us);
}

static void note_failure(struct pool *p, struct backend *b, uint64_t now_us)
{
    const struct pool_conf *conf = p->conf;
    struct health *h = &b->health;
    b->counts.failures++;
    if (h->fails && pool_passed(h->fail_us, now_us) > conf->fail_within_ms * UINT64_C(1000))
        h->fails = 0;
    if (h->fails++ == 0)
        h->fail_us = now_us;
    if (b->state == BACKEND_TRIAL)
        mark_down(p, b, "its trial failed", now_us);
    else if (b->state == BACKEND_UP && conf->fail_count && h->fails >= conf->fail_count)
        mark_down(p, b, "failures in a row (fail count)", now_us);
}

/* An old answer says nothing of a backend that has failed since. */
static void note_success(struct pool *p, struct backend *b, const struct pool_outcome *o,
                         uint64_t now_us)
{
    if (b->health.fails) /* no store that changes nothing: other threads read that cache line */
        b->health.fails = 0;
    bool is_down = b->state == BACKEND_TRIAL || (b->state == BACKEND_DOWN && !b->health.is_probed);
    if (is_down && o->begun_us >= b->health.since_us)
        backend_enter(p, b, BACKEND_UP, "it answers again", now_us);
}

/* ---- latency ---- */

/* Rises at once, falls with time. */
static void note_latency(struct backend *b, uint64_t latency_us, uint64_t now_us)
{
    uint64_t passed_us = pool_passed(b->ewma_at_us, now_us);
    if (latency_us >= b->ewma_us || passed_us >= EWMA_TAU_US)
        b->ewma_us = latency_us;
    else
        b->ewma_us -= (b->ewma_us - latency_us) * passed_us / EWMA_TAU_US;
    b->ewma_at_us = now_us;
}

/* ---- ejection ---- */

/* Whether enough others are up: a fault that all share must not take all of them out. */
static bool may_eject(const struct pool *p, const struct backend *b)
{
    uint32_t in_tier = 0, up = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        in_tier += p->backends[i]->tier == b->tier;
        up += p->backends[i]->tier == b->tier && p->backends[i]->state == BACKEND_UP;
    }
    return up > 1 && (in_tier - up + 1) * 100 <= in_tier * p->conf->eject_share;
}

static const char *reason_to_eject(const struct pool_conf *conf, const struct health *h)
{
    uint64_t mean_us = h->latency_sum_us / h->answers;
    if (conf->eject_errors && h->errors * 100ull >= h->answers * (uint64_t)conf->eject_errors)
        return "too many errors (eject errors)";
    if (conf->eject_latency_ms && mean_us > conf->eject_latency_ms * UINT64_C(1000))
        return "it answers too slowly (eject latency)";
    return NULL;
}

static void judge_window(struct pool *p, struct backend *b, const struct pool_outcome *o,
                         uint64_t now_us)
{
    const struct pool_conf *conf = p->conf;
    struct health *h = &b->health;
    if (pool_passed(h->window_us, now_us) > conf->eject_window_ms * UINT64_C(1000)) {
        h->window_us = now_us;
        h->answers = h->errors = 0;
        h->latency_sum_us = 0;
    }
    h->answers++;
    h->errors += o->verdict != VERDICT_OK;
    h->latency_sum_us += o->latency_us;
    if (b->state != BACKEND_UP || h->answers < conf->eject_requests)
        return;
    const char *why = reason_to_eject(conf, h);
    if (!why || !may_eject(p, b))
        return;
    b->counts.ejections++;
    mark_down(p, b, why, now_us);
}

static void note_error(struct pool *p, struct backend *b, uint64_t now_us)
{
    b->counts.errors++;
    b->health.fails = 0; /* in a row: it does answer */
    if (b->state == BACKEND_TRIAL)
        mark_down(p, b, "its trial failed", now_us);
}

void health_note(struct pool *p, struct backend *b, const struct pool_outcome *o, uint64_t now_us)
{
    if (o->latency_us)
        note_latency(b, o->latency_us, now_us);
    adapt_note(p, b, o, now_us);
    switch (o->verdict) {
    case VERDICT_NONE:
        if (b->state == BACKEND_TRIAL && b->busy == 0) /* another request may find out */
            backend_enter(p, b, BACKEND_DOWN, "its trial came to nothing", now_us);
        return;
    case VERDICT_OK: note_success(p, b, o, now_us); break;
    case VERDICT_ERROR: note_error(p, b, now_us); break;
    case VERDICT_FAIL: note_failure(p, b, now_us); break;
    }
    if (p->conf->eject_errors || p->conf->eject_latency_ms)
        judge_window(p, b, o, now_us);
}

/* ---- trials ---- */

/* A request that cannot be tried again elsewhere is only taken when no other has come for long. */
struct backend *health_trial(struct pool *p, const struct demand *d, const struct choice *c)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct backend *b = p->backends[i];
        uint64_t due_us = b->health.retry_us + (d->is_safe ? 0 : UNSAFE_WAIT_US);
        if (b->state != BACKEND_DOWN || b->health.is_probed || c->now_us < due_us ||
            b->tier > p->tier || tried_has(&d->tried, b))
            continue;
        if (!choice_has_room(c, b))
            continue;
        backend_enter(p, b, BACKEND_TRIAL, "the pause is over", c->now_us);
        return b;
    }
    return NULL;
}
