/* SPDX-License-Identifier: MIT */
#include "pool/adapt.h"

#include "pool/pool_internal.h"

enum { WINDOW_US = 100000, WINDOW_ANSWERS = 20, STEP_SHIFT = 4 };

static void settle(struct pool *p, struct backend *b)
{
    uint32_t most = b->conf_open;
    if (b->adapt.limit && b->adapt.limit < most)
        most = b->adapt.limit;
    b->max_open = most;
    if (b->open > most)
        p->has_news = p->tidy_wanted = true; /* idle connections beyond are closed */
}

static void begin_window(struct adapt *a, uint64_t now_us)
{
    a->window_us = now_us;
    a->answers = a->failures = a->most_busy = 0;
    a->sum_us = 0;
}

void adapt_configure(struct pool *p, struct backend *b, uint64_t now_us)
{
    const struct pool_conf *conf = p->conf;
    struct adapt *a = &b->adapt;
    if (!conf->adaptive_percent)
        *a = (struct adapt){.limit = 0};
    else if (!a->limit)
        *a = (struct adapt){.limit = conf->adaptive_min,
                            .window_us = now_us,
                            .is_measuring = true,
                            .is_doubling = true};
    settle(p, b);
}

static uint32_t within(const struct pool_conf *conf, uint64_t limit)
{
    return limit < conf->adaptive_min   ? conf->adaptive_min
           : limit > conf->adaptive_max ? conf->adaptive_max
                                        : (uint32_t)limit;
}

/* A tenth or more got no answer. */
static bool is_failing(const struct adapt *a)
{
    return a->failures && a->failures * 9 >= a->answers;
}

/* How it goes on from what a window has shown; the limit in it was used by most_busy. */
static uint64_t next_limit(struct adapt *a, const struct pool_conf *conf)
{
    uint64_t mean_us = a->answers ? a->sum_us / a->answers : 0;
    uint64_t good_us = a->base_us * conf->adaptive_percent / 100;
    if (is_failing(a) || mean_us > good_us) {
        a->is_doubling = false;
        uint64_t shrunk = is_failing(a) ? a->limit * 3 / 4 : a->limit * good_us / mean_us;
        uint64_t least = a->limit / 2;
        return shrunk > least ? shrunk : least;
    }
    if (a->most_busy < a->limit)
        return a->limit;
    return a->limit + (a->is_doubling ? a->limit : (a->limit >> STEP_SHIFT) + 1);
}

static void end_window(struct pool *p, struct backend *b, uint64_t now_us)
{
    const struct pool_conf *conf = p->conf;
    struct adapt *a = &b->adapt;
    if (a->is_measuring) {
        a->is_measuring = false;
        a->base_us = a->sum_us / a->answers + 1;
        a->measure_us = now_us + conf->adaptive_measure_ms * UINT64_C(1000);
        a->limit = a->found ? a->found : a->limit;
    } else {
        a->limit = within(conf, next_limit(a, conf));
        a->found = a->limit;
    }
    if (!a->is_measuring && now_us >= a->measure_us) {
        a->is_measuring = true;
        a->limit = conf->adaptive_min;
    }
    begin_window(a, now_us);
    settle(p, b);
}

void adapt_note(struct pool *p, struct backend *b, const struct pool_outcome *o, uint64_t now_us)
{
    struct adapt *a = &b->adapt;
    if (!a->limit || o->begun_us < a->window_us)
        return;
    if (b->busy + 1 > a->most_busy)
        a->most_busy = b->busy + 1;
    a->failures += o->verdict == VERDICT_FAIL;
    if (o->latency_us) {
        a->answers++;
        a->sum_us += o->latency_us;
    }
    bool is_enough = a->answers >= WINDOW_ANSWERS || (is_failing(a) && !a->is_measuring);
    if (is_enough && now_us - a->window_us >= WINDOW_US)
        end_window(p, b, now_us);
}
