/* SPDX-License-Identifier: MIT */
#include "core/admit.h"

#include "core/answer.h"
#include "core/route.h"
#include "core/site_conf.h"
#include "core/worker.h"

_Static_assert((int)GATE_KINDS == (int)STATS_GATES, "each kind has a counter");

const char *gate_kind_name(enum gate_kind kind)
{
    static const char *const names[] = {"access", "rate", "concurrent", "auth"};
    return names[kind];
}

/* ---- loading ---- */

void admission_add(struct config_reader *r, struct admission *a, const struct gate *gate,
                   void *conf)
{
    struct gate_conf *g = config_append(r, &a->gates, &a->count, sizeof(*g));
    *g = (struct gate_conf){.gate = gate, .conf = conf};
}

void *admit_open(struct config_reader *r, const struct directive *d, struct admission *a)
{
    static const struct {
        const char *key;
        admit_open_fn *open;
    } openers[] = {
        {"allow", admit_open_access}, {"deny", admit_open_access},
        {"rate", admit_open_rate},    {"concurrent", admit_open_concurrent},
        {"auth", admit_open_auth},
    };
    for (size_t i = 0; i < sizeof(openers) / sizeof(openers[0]); i++)
        if (slice_eq(slice_str(openers[i].key), d->name.text))
            return openers[i].open(r, d, a);
    return NULL;
}

static bool finish_gates(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                         struct admission *a)
{
    bool ok = true;
    for (uint32_t i = 0; i < a->count; i++) {
        struct gate_conf *g = &a->gates[i];
        if (!g->is_finished && g->conf && g->gate->finish)
            ok = g->gate->finish(r, s, site, g->conf) && ok;
        g->is_finished = true;
    }
    return ok;
}

static bool says(const struct admission *a, enum gate_kind kind)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->gates[i].gate->kind == kind)
            return true;
    return false;
}

static void add_kind(struct config_reader *r, struct admission *all, const struct admission *from,
                     enum gate_kind kind)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (from->gates[i].gate->kind == kind && from->gates[i].conf)
            *(struct gate_conf *)config_append(r, &all->gates, &all->count, sizeof(*all->gates)) =
                from->gates[i];
}

bool admission_finish(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                      struct admission *own, const struct admission **all)
{
    struct admission *found = arena_zalloc(r->arena, sizeof(*found));
    bool ok = finish_gates(r, s, site, site->admission);
    ok = finish_gates(r, s, site, own) && ok;
    for (int i = 0; i < GATE_KINDS; i++) {
        enum gate_kind kind = (enum gate_kind)i;
        add_kind(r, found, says(own, kind) ? own : site->admission, kind);
    }
    *all = found->count ? found : NULL;
    return ok;
}

void admission_explain(const struct admission *a, const struct facts *q, FILE *out)
{
    for (uint32_t i = 0; i < a->count; i++) {
        fprintf(out, "%-10s", i ? "" : "admission");
        a->gates[i].gate->explain(a->gates[i].conf, q, out);
    }
}

/* ---- serving ---- */

/* Nothing is asked of the client meanwhile, whatever it was asked for before a redirect. */
static void await_admission(struct exchange *x)
{
    enum wait wait = x->client_gone ? WAIT_GONE : WAIT_NOTHING;
    if (x->client_wait != wait)
        x->front->set_deadline(x, x->client_wait = wait);
}

enum next admit_run(struct exchange *x)
{
    const struct admission *a = x->route->admission;
    while (x->gate < a->count) {
        const struct gate_conf *g = &a->gates[x->gate];
        switch (g->gate->ask(x, g->conf)) {
        case ADMIT_PASS:
            x->gate_state = NULL;
            x->gate++;
            break;
        case ADMIT_OVER: return NEXT;
        case ADMIT_WAIT: await_admission(x); return PARK;
        }
    }
    exchange_enter(x, EX_ACT, "admitted");
    return NEXT;
}

void admit_drop(struct exchange *x)
{
    const struct admission *a = x->route ? x->route->admission : NULL;
    if (x->gate_state && a->gates[x->gate].gate->drop)
        a->gates[x->gate].gate->drop(x);
    x->gate_state = NULL;
    x->gate = 0;
    x->auth_param_count = 0;
}

void admit_count_refusal(struct exchange *x)
{
    enum gate_kind kind = x->route->admission->gates[x->gate].gate->kind;
    counter_add(&x->worker->stats.refused[kind], 1);
}

enum admit admit_refuse(struct exchange *x, uint16_t status, enum field_id id, struct slice value,
                        const char *why, const char *rule)
{
    admit_count_refusal(x);
    if (!answer_skip_body(x))
        return ADMIT_OVER;
    x->fail_id = id;
    x->fail_value = value;
    exchange_fail(x, status, why, rule);
    return ADMIT_OVER;
}
