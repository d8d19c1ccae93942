/* SPDX-License-Identifier: MIT */
#include "core/pace.h"

#include "core/exchange.h"
#include "core/worker.h"

enum { TICK_MS = 50, SECOND_US = 1000000 };

struct pace {
    struct exchange *exchange;
    struct timer timer;
    struct chain *from;
    struct chain ready;
    uint64_t rate;         /* bytes in a second */
    uint64_t allowed;      /* that may go now */
    uint64_t refreshed_us; /* when that was reckoned */
};

static void on_due(struct timer *t)
{
    exchange_run(container_of(t, struct pace, timer)->exchange);
}

void pace_begin(struct exchange *x)
{
    uint64_t rate = x->rate_bytes ? x->rate_bytes : x->serve->rate_bytes;
    if (!rate || rate == PACE_NONE || x->resp_framing.kind == BODY_TUNNEL ||
        x->resp_framing.kind == BODY_NONE)
        return;
    struct pace *p = arena_zalloc(&x->arena, sizeof(*p));
    p->exchange = x;
    p->from = x->outgoing;
    p->rate = rate;
    p->refreshed_us = x->worker->loop.now_us;
    p->allowed = rate / 10 + 1; /* so that it begins at once */
    timer_init(&p->timer, on_due);
    chain_init(&p->ready, &x->worker->loop.bufs, x->worker->snapshot->gateway.window);
    x->outgoing = &p->ready;
    x->pace = p;
}

/* What a slow client has not used is saved up for a second, no longer. */
static void refresh(struct pace *p, uint64_t now_us)
{
    uint64_t passed_us = now_us - p->refreshed_us;
    if (passed_us > SECOND_US)
        passed_us = SECOND_US;
    uint64_t more;
    if (__builtin_mul_overflow(p->rate, passed_us, &more))
        more = UINT64_MAX;
    more /= SECOND_US;
    if (more == 0)
        return; /* less than a byte: the time goes on counting */
    p->refreshed_us = now_us;
    p->allowed = p->allowed + more < p->rate ? p->allowed + more : p->rate;
}

bool pace_run(struct exchange *x)
{
    struct pace *p = x->pace;
    if (!p || chain_is_empty(p->from) || !chain_room(&p->ready))
        return false;
    refresh(p, x->worker->loop.now_us);
    size_t n =
        chain_move(&p->ready, p->from, p->allowed < SIZE_MAX ? (size_t)p->allowed : SIZE_MAX);
    p->allowed -= n;
    if (!chain_is_empty(p->from))
        timer_set(&x->worker->loop, &p->timer, TICK_MS);
    return n > 0;
}

bool pace_is_holding(const struct exchange *x)
{
    return x->pace && !chain_is_empty(x->pace->from);
}

void pace_drop(struct exchange *x)
{
    if (!x->pace)
        return;
    chain_clear(&x->pace->ready);
    timer_fini(&x->worker->loop, &x->pace->timer);
    x->pace = NULL;
}
