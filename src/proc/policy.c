/* SPDX-License-Identifier: MIT */
#include "proc/policy.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
    SETTLED_MS = 10000, /* a process that has run so long did not fail to start */
    KILLED_MS = 2000,   /* one that is to end is not waited for any longer after KILL */
    DRAIN_POLL_MS = 20,
};

const char *proc_state_name(enum proc_state state)
{
    static const char *const names[] = {
#define X(name, text) text,
        PROC_STATES(X)
#undef X
    };
    return names[state];
}

/* Slots beyond max, for replacements that start before the old ones have stopped. */
static uint32_t spare_slots(uint32_t max)
{
    return max / 4 ? max / 4 : 1;
}

void policy_init(struct policy *p, const struct policy_conf *conf, policy_act_fn *act, void *ctx)
{
    assert(conf->concurrency > 0 && conf->max > 0 && conf->min <= conf->max);
    *p = (struct policy){.conf = *conf, .act = act, .ctx = ctx};
    p->slot_count = conf->max + spare_slots(conf->max);
    p->slots = mem_zalloc(p->slot_count * sizeof(*p->slots));
}

void policy_fini(struct policy *p)
{
    free(p->slots);
}

static void enter(struct policy *p, uint32_t slot, enum proc_state state, uint64_t now_ms)
{
    p->slots[slot].state = state;
    p->slots[slot].since_ms = now_ms;
}

static void act(struct policy *p, enum policy_verb verb, uint32_t slot, const char *why)
{
    p->act(p->ctx, verb, slot, why);
}

static bool is_coming(const struct policy_slot *s)
{
    return s->state == PROC_STARTING || s->state == PROC_WARMING;
}

uint32_t policy_count(const struct policy *p, enum proc_state state)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->slot_count; i++)
        n += p->slots[i].state == state;
    return n;
}

bool policy_is_empty(const struct policy *p)
{
    return policy_count(p, PROC_FREE) == p->slot_count;
}

/* ---- what is told ---- */

void policy_set_waiting(struct policy *p, uint32_t waiting)
{
    p->waiting = waiting;
}

void policy_set_load(struct policy *p, uint32_t slot, uint32_t busy, uint64_t served,
                     uint64_t rss_bytes)
{
    struct policy_slot *s = &p->slots[slot];
    if (served != s->served)
        p->active = true;
    s->busy = busy;
    s->served = served;
    s->rss_bytes = rss_bytes;
}

void policy_set_awaited(struct policy *p, uint32_t slot, bool is_awaited)
{
    assert(p->slots[slot].state == PROC_FREE);
    p->slots[slot].is_awaited = is_awaited;
}

void policy_started(struct policy *p, uint32_t slot, uint64_t now_ms)
{
    if (p->slots[slot].state == PROC_STARTING)
        enter(p, slot, PROC_WARMING, now_ms);
}

static void note_failure(struct policy *p, uint64_t now_ms)
{
    uint64_t wait_ms = p->conf.backoff_min_ms;
    for (uint32_t i = 0; i < p->failures && wait_ms < p->conf.backoff_max_ms; i++)
        wait_ms *= 2;
    if (wait_ms > p->conf.backoff_max_ms)
        wait_ms = p->conf.backoff_max_ms;
    p->failures++;
    p->retry_ms = now_ms + wait_ms;
}

void policy_failed(struct policy *p, uint32_t slot, uint64_t now_ms)
{
    p->slots[slot] = (struct policy_slot){.state = PROC_FREE, .since_ms = now_ms};
    note_failure(p, now_ms);
}

void policy_ready(struct policy *p, uint32_t slot, uint64_t now_ms)
{
    struct policy_slot *s = &p->slots[slot];
    if (s->state != PROC_WARMING)
        return;
    enter(p, slot, PROC_READY, now_ms);
    act(p, POLICY_OPEN, slot, "ready");
}

static bool is_ending(const struct policy_slot *s)
{
    return s->state == PROC_DRAINING || s->state == PROC_STOPPING || s->state == PROC_KILLING;
}

/* clean: without an error. An application that ends cleanly after some requests
 * (PHP_FCGI_MAX_REQUESTS) has not failed, nor has one that we told to end or that ran for long. */
bool policy_exited(struct policy *p, uint32_t slot, bool clean, uint64_t now_ms)
{
    struct policy_slot *s = &p->slots[slot];
    bool served = p->conf.shared ? p->slots[0].served > 0 : s->served > 0;
    bool settled = now_ms - s->start_ms >= SETTLED_MS || (clean && served);
    bool failed = s->late || (!is_ending(s) && (is_coming(s) || !settled));
    /* The counts of slot 0 are those of the shared socket. */
    *s = (struct policy_slot){.since_ms = now_ms,
                              .busy = p->conf.shared ? s->busy : 0,
                              .served = p->conf.shared ? s->served : 0};
    if (failed)
        note_failure(p, now_ms);
    return failed;
}

void policy_restart(struct policy *p)
{
    p->generation++;
    p->failures = 0;
    p->retry_ms = 0;
}

void policy_stop(struct policy *p)
{
    p->stopping = true;
}

void policy_forgive(struct policy *p)
{
    p->failures = 0;
    p->retry_ms = 0;
}

/* ---- stopping ---- */

static void terminate(struct policy *p, uint32_t slot, uint64_t now_ms, const char *why)
{
    enter(p, slot, PROC_STOPPING, now_ms);
    act(p, POLICY_TERM, slot, why);
}

/* TERM is left to a later turn: until no more requests come, the load that was told is too old. */
static void drain(struct policy *p, uint32_t slot, uint64_t now_ms, const char *why)
{
    p->slots[slot].renew = why;
    enter(p, slot, PROC_DRAINING, now_ms);
    act(p, POLICY_SHUT, slot, why);
    if (p->conf.shared)
        terminate(p, slot, now_ms, why);
}

static bool is_over(const struct policy_slot *s, uint64_t limit_ms, uint64_t now_ms)
{
    return now_ms - s->since_ms >= limit_ms;
}

/* Everything that has a deadline in its state, or ends with its requests. */
static void advance(struct policy *p, uint32_t slot, uint64_t now_ms)
{
    struct policy_slot *s = &p->slots[slot];
    switch (s->state) {
    case PROC_FREE:
    case PROC_READY: break;
    case PROC_STARTING:
    case PROC_WARMING:
        if (p->stopping && s->state == PROC_WARMING) {
            terminate(p, slot, now_ms, "stopping");
        } else if (now_ms - s->start_ms >= p->conf.start_ms) {
            s->late = true;
            terminate(p, slot, now_ms, "does not answer within start-timeout");
        }
        break;
    case PROC_DRAINING:
        if (s->busy == 0)
            terminate(p, slot, now_ms, s->renew);
        else if (is_over(s, p->conf.drain_ms, now_ms))
            terminate(p, slot, now_ms, "its requests take longer than drain-timeout");
        break;
    case PROC_STOPPING:
        if (is_over(s, p->conf.stop_ms, now_ms)) {
            enter(p, slot, PROC_KILLING, now_ms);
            act(p, POLICY_KILL, slot, "does not stop within stop-timeout");
        }
        break;
    case PROC_KILLING: /* it cannot end, or whoever tells of its end hangs, too */
        if (p->stopping && is_over(s, KILLED_MS, now_ms))
            *s = (struct policy_slot){.since_ms = now_ms};
        break;
    }
}

/* ---- renewal ---- */

static const char *why_renew(const struct policy *p, const struct policy_slot *s, uint64_t now_ms)
{
    const struct policy_conf *c = &p->conf;
    if (s->generation != p->generation)
        return "restart";
    if (c->max_requests && !c->shared && s->served >= c->max_requests)
        return "max-requests reached";
    if (c->memory_bytes && s->rss_bytes > c->memory_bytes)
        return "uses more than its memory limit";
    if (c->age_ms && now_ms - s->start_ms >= c->age_ms)
        return "max-age reached";
    return NULL;
}

static void mark_for_renewal(struct policy *p, uint64_t now_ms)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        struct policy_slot *s = &p->slots[i];
        if (!s->renew && s->state == PROC_READY)
            s->renew = why_renew(p, s, now_ms);
        else if (is_coming(s) && s->generation != p->generation)
            s->renew = "restart";
    }
}

/* ---- how many ---- */

struct census {
    uint32_t live;  /* not free */
    uint32_t fresh; /* coming or ready, and not to be renewed */
    uint32_t fresh_ready, coming;
    uint32_t busy;    /* requests */
    uint32_t awaited; /* slots that requests wait for, wherever else there is room */
};

static struct census take_census(const struct policy *p)
{
    struct census c = {.busy = p->conf.shared ? p->slots[0].busy : 0};
    for (uint32_t i = 0; i < p->slot_count; i++) {
        const struct policy_slot *s = &p->slots[i];
        bool is_fresh = (is_coming(s) || s->state == PROC_READY) && !s->renew;
        c.coming += is_coming(s);
        c.live += s->state != PROC_FREE;
        c.awaited += s->is_awaited;
        c.fresh += is_fresh;
        c.fresh_ready += is_fresh && s->state == PROC_READY;
        if (!p->conf.shared && s->state == PROC_READY)
            c.busy += s->busy;
    }
    return c;
}

/* Processes that what there is to do keeps busy. */
static uint32_t needed(const struct policy *p, const struct census *c)
{
    uint64_t requests = (uint64_t)c->busy + p->waiting;
    uint64_t n = (requests + p->conf.concurrency - 1) / p->conf.concurrency;
    if (n == 0 && p->active)
        n = 1;
    if (n < p->conf.min)
        n = p->conf.min;
    if (c->awaited && n < c->fresh + (uint64_t)c->awaited)
        n = c->fresh + (uint64_t)c->awaited;
    return n < p->conf.max ? (uint32_t)n : p->conf.max;
}

static bool is_better(const struct policy_slot *s, const struct policy_slot *than)
{
    if (s->is_awaited != than->is_awaited)
        return s->is_awaited;
    return s->since_ms > than->since_ms;
}

/* One that requests wait for; else the one that was left last: they may come to. Else the lowest.
 */
static uint32_t find_free(const struct policy *p)
{
    uint32_t found = p->slot_count;
    for (uint32_t i = 0; i < p->slot_count; i++)
        if (p->slots[i].state == PROC_FREE &&
            (found == p->slot_count || is_better(&p->slots[i], &p->slots[found])))
            found = i;
    return found;
}

/* Those that are to be renewed do not count, so they get a replacement if they are needed. */
static void grow(struct policy *p, uint64_t now_ms)
{
    struct census c = take_census(p);
    uint32_t want = needed(p, &c), slot;
    uint32_t limit = p->failures ? 1 : p->slot_count; /* one at a time until one works */
    while (!p->stopping && now_ms >= p->retry_ms && c.fresh < want && c.coming < limit &&
           (slot = find_free(p)) < p->slot_count) {
        struct policy_slot *s = &p->slots[slot];
        s->start_ms = now_ms;
        s->generation = p->generation;
        s->renew = NULL;
        s->is_awaited = false;
        enter(p, slot, PROC_STARTING, now_ms);
        act(p, POLICY_START, slot, c.live ? "one more is needed" : "needed");
        c.fresh++;
        c.coming++;
        c.live++;
    }
}

/* Those to be renewed go once enough others are ready. One that nobody needs goes at once. */
static void retire_renewed(struct policy *p, uint64_t now_ms)
{
    struct census c = take_census(p);
    uint32_t want = needed(p, &c), ready = policy_count(p, PROC_READY);
    for (uint32_t i = 0; i < p->slot_count; i++) {
        struct policy_slot *s = &p->slots[i];
        if (s->state == PROC_READY && s->renew && ready > want) {
            drain(p, i, now_ms, s->renew);
            ready--;
        } else if (s->state == PROC_WARMING && s->renew) {
            terminate(p, i, now_ms, s->renew);
        }
    }
}

/* Fewer are kept when fewer have been enough all through idle-timeout. The load is looked at now
 * and then, but a request that waits is never missed. */
static void shrink(struct policy *p, uint64_t now_ms)
{
    struct census c = take_census(p);
    uint32_t want = needed(p, &c);
    if (c.fresh_ready <= want || p->waiting) {
        p->calm_ms = 0;
        return;
    }
    if (!p->calm_ms) {
        p->calm_ms = now_ms;
        p->calm_peak = want;
    }
    p->calm_peak = p->calm_peak > want ? p->calm_peak : want;
    if (!p->conf.idle_ms || now_ms - p->calm_ms < p->conf.idle_ms)
        return;
    /* The highest numbers go first, so that the low ones stay warm. */
    for (uint32_t i = p->slot_count; i-- > 0 && c.fresh_ready > p->calm_peak;)
        if (p->slots[i].state == PROC_READY && !p->slots[i].renew) {
            drain(p, i, now_ms, "idle");
            c.fresh_ready--;
        }
    p->calm_ms = 0;
}

/* ---- turns ---- */

/* To be given a request shows nothing: a socket of ours is there, whether or not the process can
 * start. */
static void settle(struct policy *p, uint64_t now_ms)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        const struct policy_slot *s = &p->slots[i];
        bool works = s->served > s->busy || now_ms - s->since_ms >= SETTLED_MS;
        if (s->state == PROC_READY && works)
            p->failures = 0;
    }
}

static uint64_t slot_due(const struct policy_conf *c, const struct policy_slot *s)
{
    switch (s->state) {
    case PROC_FREE:
    case PROC_DRAINING: return UINT64_MAX;
    case PROC_KILLING: return s->since_ms + KILLED_MS;
    case PROC_STARTING:
    case PROC_WARMING: return s->start_ms + c->start_ms;
    case PROC_READY: return c->age_ms && !s->renew ? s->start_ms + c->age_ms : UINT64_MAX;
    case PROC_STOPPING: return s->since_ms + c->stop_ms;
    }
    return UINT64_MAX;
}

static uint64_t next_due(const struct policy *p, uint64_t now_ms)
{
    uint64_t due = p->retry_ms > now_ms ? p->retry_ms : UINT64_MAX;
    if (p->calm_ms && p->conf.idle_ms && p->calm_ms + p->conf.idle_ms < due)
        due = p->calm_ms + p->conf.idle_ms;
    for (uint32_t i = 0; i < p->slot_count; i++) {
        bool is_asked = p->slots[i].state == PROC_DRAINING; /* whether it has finished */
        uint64_t d = is_asked ? now_ms + DRAIN_POLL_MS : slot_due(&p->conf, &p->slots[i]);
        if (d > now_ms && d < due) /* what is due and did not happen waits for an event */
            due = d;
    }
    return due;
}

uint64_t policy_turn(struct policy *p, uint64_t now_ms)
{
    for (uint32_t i = 0; i < p->slot_count; i++) {
        advance(p, i, now_ms);
        if (p->stopping && p->slots[i].state == PROC_READY)
            drain(p, i, now_ms, "stopping");
    }
    settle(p, now_ms);
    mark_for_renewal(p, now_ms);
    grow(p, now_ms);
    retire_renewed(p, now_ms);
    shrink(p, now_ms);
    p->active = false;
    return next_due(p, now_ms);
}
