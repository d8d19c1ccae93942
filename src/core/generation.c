/* SPDX-License-Identifier: MIT */
#include "core/generation.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/limiter.h"
#include "pool/members.h"

static struct gateway_pool *new_pool(struct snapshot *snapshot, const struct pool_conf *conf,
                                     uint32_t workers)
{
    struct gateway_pool *p = aligned_alloc(64, (sizeof(*p) + 63) & ~(size_t)63);
    if (!p)
        abort();
    p->codec = codec_find(conf->codec);
    p->is_tls = conf->tls.is_on;
    p->generations = 0;
    p->snapshot = snapshot_ref(snapshot);
    p->probes = NULL;
    p->name = mem_dup(conf->name.p, conf->name.n);
    p->protocol = mem_dup(conf->protocol.p, conf->protocol.n);
    pool_init(&p->pool, conf, workers);
    return p;
}

static void on_pool_gone(struct pool *pool)
{
    struct gateway_pool *p = container_of(pool, struct gateway_pool, pool);
    pool_fini(pool);
    snapshot_unref(p->snapshot);
    free(p->name);
    free(p->protocol);
    free(p);
}

static void drop_pool(struct gateway_pool *p, struct loop *main_loop)
{
    if (p->probes)
        probes_free(p->probes);
    pool_abandon(&p->pool, main_loop, on_pool_gone);
}

static struct gateway_pool *find_pool(const struct generation *g, const struct pool_conf *conf)
{
    for (uint32_t i = 0; g && i < g->snapshot->pool_count; i++)
        if (slice_eq(conf->name, slice_str(g->pools[i]->name)) &&
            slice_eq(conf->protocol, slice_str(g->pools[i]->protocol)) &&
            conf->tls.is_on == g->pools[i]->is_tls)
            return g->pools[i];
    return NULL;
}

static bool has_pool(const struct generation *g, const struct gateway_pool *pool)
{
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (g->pools[i] == pool)
            return true;
    return false;
}

/* Not left to the workers, who have others to serve. */
static void find_left(struct generation *g, const struct generation *from)
{
    uint32_t count = from ? from->snapshot->pool_count : 0;
    g->left = mem_zalloc(count * sizeof(struct gateway_pool *));
    for (uint32_t i = 0; i < count; i++)
        if (!has_pool(g, from->pools[i]))
            g->left[g->left_count++] = from->pools[i];
}

/* ---- tables of limits ---- */

static struct gateway_limit *find_limit(const struct generation *g, const struct limit_conf *conf)
{
    for (uint32_t i = 0; g && i < g->snapshot->limit_count; i++)
        if (slice_eq(conf->name, slice_str(g->limits[i]->name)) &&
            conf->entries == g->limits[i]->entries)
            return g->limits[i];
    return NULL;
}

static struct gateway_limit *new_limit(const struct limit_conf *conf)
{
    struct gateway_limit *l = mem_alloc(sizeof(*l));
    *l = (struct gateway_limit){.limiter = limiter_new(conf->entries),
                                .name = mem_dup(conf->name.p, conf->name.n),
                                .entries = conf->entries};
    return l;
}

static void take_limits(struct generation *g, const struct generation *from)
{
    uint32_t count = g->snapshot->limit_count;
    g->limits = mem_zalloc(count * sizeof(*g->limits));
    g->limiters = mem_zalloc(count * sizeof(*g->limiters));
    for (uint32_t i = 0; i < count; i++) {
        const struct limit_conf *conf = &g->snapshot->limits[i];
        g->limits[i] = find_limit(from, conf);
        if (!g->limits[i])
            g->limits[i] = new_limit(conf);
        g->limits[i]->generations++;
        g->limiters[i] = g->limits[i]->limiter;
    }
}

static void free_limits(struct generation *g)
{
    for (uint32_t i = 0; i < g->snapshot->limit_count; i++) {
        struct gateway_limit *l = g->limits[i];
        if (--l->generations)
            continue;
        limiter_free(l->limiter);
        free(l->name);
        free(l);
    }
    free(g->limits);
    free(g->limiters);
}

/* ---- life ---- */

struct generation *generation_new(struct snapshot *snapshot, struct log_output *access_log,
                                  struct app_defs *app_defs, const struct generation *from,
                                  uint32_t workers, uint32_t number)
{
    struct generation *g = mem_zalloc(sizeof(*g));
    *g = (struct generation){.number = number,
                             .snapshot = snapshot,
                             .access_log = access_log,
                             .app_defs = app_defs,
                             .holds = 1};
    g->pools = mem_zalloc(snapshot->pool_count * sizeof(struct gateway_pool *));
    for (uint32_t i = 0; i < snapshot->pool_count; i++) {
        const struct pool_conf *conf = &snapshot->pools[i];
        g->pools[i] = find_pool(from, conf);
        if (!g->pools[i])
            g->pools[i] = new_pool(snapshot, conf, workers);
        g->pools[i]->generations++;
    }
    find_left(g, from);
    take_limits(g, from);
    return g;
}

bool generation_shares_pool(const struct generation *g, uint32_t index)
{
    return g->pools[index]->generations > 1;
}

void generation_set_conf(struct generation *g, uint32_t index)
{
    struct gateway_pool *p = g->pools[index];
    struct snapshot *old = p->snapshot; /* the generation it is of has another reference */
    p->snapshot = snapshot_ref(g->snapshot);
    pool_set_conf(&p->pool, &g->snapshot->pools[index]);
    snapshot_unref(old);
}

static void free_generation(struct generation *g)
{
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (--g->pools[i]->generations == 0)
            drop_pool(g->pools[i], g->main_loop);
    free_limits(g);
    if (g->access_log)
        log_output_close(g->access_log);
    app_defs_unref(g->app_defs);
    snapshot_unref(g->snapshot);
    free(g->pools);
    free(g->left);
    free(g);
}

void generation_hold(struct generation *g)
{
    g->holds++;
}

void generation_unhold(struct generation *g)
{
    if (--g->holds == 0)
        free_generation(g);
}

/* Main thread: the worker has nothing of the generation any more. */
static void on_ended(struct post *post)
{
    struct tenure *t = container_of(post, struct tenure, ended);
    struct generation *g = t->generation;
    free(t);
    generation_unhold(g);
}

struct tenure *tenure_new(struct generation *g, struct loop *main_loop)
{
    struct tenure *t = mem_zalloc(sizeof(*t));
    *t = (struct tenure){.generation = g, .ended = {.run = on_ended}, .main_loop = main_loop};
    g->main_loop = main_loop;
    generation_hold(g);
    return t;
}

void tenure_end_(struct tenure *t)
{
    loop_post(t->main_loop, &t->ended);
}

void tenure_retire(struct tenure *t)
{
    t->is_over = true;
    if (t->exchanges == 0)
        tenure_end_(t);
}
