/* SPDX-License-Identifier: MIT */
#include "core/generation.h"

#include <stdlib.h>

#include "base/mem.h"

static struct gateway_pool *new_pool(const struct pool_conf *conf, uint32_t workers)
{
    struct gateway_pool *p = aligned_alloc(64, (sizeof(*p) + 63) & ~(size_t)63);
    if (!p)
        abort();
    p->codec = codec_find(conf->codec);
    p->is_tls = conf->tls.is_on;
    p->generations = 0;
    p->probes = NULL;
    p->name = mem_dup(conf->name.p, conf->name.n);
    p->protocol = mem_dup(conf->protocol.p, conf->protocol.n);
    pool_init(&p->pool, conf, workers);
    return p;
}

static void free_pool(struct gateway_pool *p)
{
    if (p->probes)
        probes_free(p->probes);
    pool_fini(&p->pool);
    free(p->name);
    free(p->protocol);
    free(p);
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

struct generation *generation_new(struct snapshot *snapshot, struct log_output *access_log,
                                  const struct generation *from, uint32_t workers, uint32_t number)
{
    struct generation *g = mem_zalloc(sizeof(*g));
    *g = (struct generation){
        .number = number, .snapshot = snapshot, .access_log = access_log, .holds = 1};
    g->pools = mem_zalloc(snapshot->pool_count * sizeof(struct gateway_pool *));
    for (uint32_t i = 0; i < snapshot->pool_count; i++) {
        const struct pool_conf *conf = &snapshot->pools[i];
        g->pools[i] = find_pool(from, conf);
        if (!g->pools[i])
            g->pools[i] = new_pool(conf, workers);
        g->pools[i]->generations++;
    }
    return g;
}

bool generation_shares_pool(const struct generation *g, uint32_t index)
{
    return g->pools[index]->generations > 1;
}

static void free_generation(struct generation *g)
{
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (--g->pools[i]->generations == 0)
            free_pool(g->pools[i]);
    if (g->access_log)
        log_output_close(g->access_log);
    snapshot_unref(g->snapshot);
    free(g->pools);
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
