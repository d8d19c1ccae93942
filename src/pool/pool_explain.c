/* SPDX-License-Identifier: MIT */
#include "pool/pool_explain.h"

static void print_time(FILE *out, const char *name, uint32_t ms)
{
    if (ms % 1000)
        fprintf(out, "  %s=%ums", name, ms);
    else
        fprintf(out, "  %s=%us", name, ms / 1000);
}

static const char *name_of(const struct key_name *names, int value)
{
    while (names->name && names->value != value)
        names++;
    return names->name ? names->name : "";
}

/* ---- balance ---- */

static void print_balance(FILE *out, const struct pool_conf *pool)
{
    fputs("balance   ", out);
    if (pool->balance == BALANCE_HASH)
        fprintf(out, "hash=%s%s" SLICE_FMT, name_of(pool_hash_kinds, pool->hash_kind),
                pool->hash_name.n ? ":" : "", SLICE_ARG(pool->hash_name));
    else
        fputs(name_of(pool_balances, pool->balance), out);
    if (pool->sticky.n)
        fprintf(out, "  sticky=" SLICE_FMT, SLICE_ARG(pool->sticky));
    if (pool->slow_ms)
        print_time(out, "slow-start", pool->slow_ms);
    if (pool->adaptive_percent)
        fprintf(out, "  adaptive=%u%% (%u to %u connections each)", pool->adaptive_percent,
                pool->adaptive_min, pool->adaptive_max);
    fputc('\n', out);
}

/* ---- health ---- */

static void print_probe(FILE *out, const struct health_conf *h)
{
    switch (h->kind) {
    case HEALTH_OFF: fputs("no probes", out); return;
    case HEALTH_TCP: fputs("tcp", out); break;
    case HEALTH_VALUES: fputs("values", out); break;
    case HEALTH_REQUEST:
        fprintf(out, SLICE_FMT " " SLICE_FMT, SLICE_ARG(h->method), SLICE_ARG(h->path));
        break;
    }
    print_time(out, "interval", h->interval_ms);
    print_time(out, "timeout", h->timeout_ms);
    fprintf(out, "  rise=%u  fall=%u", h->rise, h->fall);
}

static void print_health(FILE *out, const struct pool_conf *pool)
{
    fputs("health    ", out);
    print_probe(out, &pool->health);
    fputs("; ", out);
    if (pool->fail_count) {
        fprintf(out, "down after %u failures in a row", pool->fail_count);
        print_time(out, "for", pool->fail_backoff_ms);
    } else {
        fputs("never down for failures in a row", out);
    }
    if (pool->eject_errors)
        fprintf(out, "; ejected from %u%% errors on", pool->eject_errors);
    if (pool->eject_latency_ms)
        print_time(out, "; ejected above mean", pool->eject_latency_ms);
    fprintf(out, "; all down: %s\n", pool->all_down == ALL_DOWN_TRY ? "try" : "refuse");
}

/* ---- retry ---- */

/* Statuses in a row as one: "502-504". */
static void print_statuses(FILE *out, const struct status_set *set, const char **between)
{
    for (unsigned first = 100; first < 600; first++) {
        unsigned last = first;
        if (!status_set_has(set, first))
            continue;
        while (last + 1 < 600 && status_set_has(set, last + 1))
            last++;
        fprintf(out, last > first ? "%s%u-%u" : "%s%u", *between, first, last);
        *between = ",";
        first = last;
    }
}

static void print_retry(FILE *out, const struct pool_conf *pool)
{
    const char *between = "";
    fprintf(out, "retry     attempts=%u  on=", pool->attempts);
    for (const struct key_name *n = pool_retries; n->name; n++)
        if (pool->retry_on & (uint32_t)n->value) {
            fprintf(out, "%s%s", between, n->name);
            between = ",";
        }
    print_statuses(out, &pool->retry_statuses, &between);
    if (pool->retry_budget)
        fprintf(out, "  budget=%u%%", pool->retry_budget);
    else
        fputs("  budget=unlimited", out);
    if (pool->hedge_ms) {
        print_time(out, "hedge after", pool->hedge_ms);
        fprintf(out, " (%u%%)", pool->hedge_budget);
    }
    fputc('\n', out);
}

/* ---- hand-over ---- */

static void print_handoff(FILE *out, const struct handoff_conf *conf)
{
    const char *label = "hand-over ";
    for (const struct key_name *k = handoff_kinds; k->name; k++) {
        if (!(conf->kinds & (unsigned)k->value))
            continue;
        fprintf(out, "%s%s", label, k->name);
        for (uint32_t i = 0; i < conf->dir_count; i++)
            if (conf->dirs[i].kinds & (unsigned)k->value)
                fprintf(out, "  from=" SLICE_FMT, SLICE_ARG(conf->dirs[i].path));
        fputc('\n', out);
        label = "          ";
    }
}

void pool_explain(FILE *out, const struct pool_conf *pool)
{
    print_balance(out, pool);
    print_health(out, pool);
    print_retry(out, pool);
    print_handoff(out, &pool->handoff);
}
