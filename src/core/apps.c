/* SPDX-License-Identifier: MIT */
#include "core/apps.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/members.h"
#include "proc/supervise.h"

struct pool_app {
    struct list node;
    struct apps *apps;
    struct gateway_pool *pool; /* NULL: no configuration has it any more */
    const struct app_def *def;
    struct app *app;
    struct deferred free;
};

struct apps {
    struct loop *loop;
    const struct app_defs *defs;
    struct spawn spawn;
    struct list list;
    bool is_stopping;
    void (*done)(void *ctx);
    void *done_ctx;
};

struct apps *apps_new(struct loop *l, const struct app_defs *defs, int channel, int *error)
{
    struct apps *apps = mem_zalloc(sizeof(*apps));
    apps->loop = l;
    apps->defs = defs;
    list_init(&apps->list);
    *error = spawn_init(&apps->spawn, l, channel);
    if (!*error)
        return apps;
    free(apps);
    return NULL;
}

static struct pool_app *pool_app_of(struct list *node)
{
    return container_of(node, struct pool_app, node);
}

static void drop(struct pool_app *a)
{
    if (a->pool)
        pool_set_grower(&a->pool->pool, NULL, NULL);
    app_free(a->app);
    list_remove(&a->node);
    free(a);
}

void apps_free(struct apps *apps)
{
    list_each_safe (node, &apps->list)
        drop(pool_app_of(node));
    spawn_fini(&apps->spawn);
    free(apps);
}

/* ---- what an application tells its pool ---- */

static void on_address(void *ctx, uint32_t slot, const struct net_addr *addr, uint32_t capacity)
{
    struct pool_app *a = ctx;
    struct pool_address address = {.len = addr->len};
    memcpy(&address.sa, &addr->sa, addr->len);
    if (a->pool)
        pool_put_slot(&a->pool->pool, slot, &address, capacity);
}

static void on_gone(void *ctx, uint32_t slot)
{
    struct pool_app *a = ctx;
    if (a->pool)
        pool_drop_slot(&a->pool->pool, slot);
}

static struct app_load get_load(void *ctx, uint32_t slot)
{
    struct pool_app *a = ctx;
    struct slot_load load = {0};
    if (a->pool)
        load = pool_slot_load(&a->pool->pool, slot);
    return (struct app_load){.busy = load.busy, .served = load.served};
}

static uint32_t get_waiting(void *ctx)
{
    struct pool_app *a = ctx;
    return a->pool ? pool_waiting(&a->pool->pool) : 0;
}

static void free_pool_app(struct deferred *d)
{
    struct pool_app *a = container_of(d, struct pool_app, free);
    struct apps *apps = a->apps;
    drop(a);
    if (apps->is_stopping && list_is_empty(&apps->list))
        apps->done(apps->done_ctx);
}

static void on_stopped(void *ctx)
{
    struct pool_app *a = ctx;
    loop_defer(a->apps->loop, &a->free); /* its own functions are on the stack */
}

static void on_wait(void *ctx)
{
    const struct pool_app *a = ctx;
    app_wake(a->app);
}

/* ---- following the configuration ---- */

static struct pool_app *find(const struct apps *apps, struct slice pool)
{
    for (struct list *n = apps->list.next; n != &apps->list; n = n->next)
        if (slice_eq(pool_app_of(n)->def->pool, pool))
            return pool_app_of(n);
    return NULL;
}

static void start(struct apps *apps, struct gateway_pool *pool, const struct app_def *def)
{
    struct pool_app *a = mem_zalloc(sizeof(*a));
    *a = (struct pool_app){.apps = apps, .pool = pool, .def = def};
    list_init(&a->node);
    list_append(&apps->list, &a->node);
    deferred_init(&a->free, free_pool_app);
    const struct app_setup setup = {
        .conf = def->conf,
        .name = def->pool,
        .def = &def->def,
        .run_dir = apps->defs->run_dir,
        .owner = {a, on_address, on_gone, get_load, get_waiting, on_stopped},
    };
    a->app = app_new(apps->loop, &apps->spawn, &setup);
    pool_set_grower(&pool->pool, on_wait, a);
}

static struct gateway_pool *pool_named(struct generation *g, struct slice name)
{
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (g->snapshot->pools[i].spawn && slice_eq(g->snapshot->pools[i].name, name))
            return g->pools[i];
    return NULL;
}

/* The pool is being retired: its application ends once nobody is served any more. */
static void let_go(struct pool_app *a)
{
    pool_set_grower(&a->pool->pool, NULL, NULL);
    a->pool = NULL;
    app_stop(a->app);
}

bool apps_check(const struct apps *apps, const struct snapshot *s, struct config_diag *diag)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *pool = &s->pools[i];
        if (pool->spawn && !(apps && app_defs_find(apps->defs, pool->name, SLICE_NONE)))
            ok = config_error(diag, pool->at,
                              "pool '" SLICE_FMT
                              "' runs an application that was not configured when "
                              "sluice was started\nrestart it",
                              SLICE_ARG(pool->name));
        for (uint32_t k = 0; k < pool->backend_count; k++)
            if (pool->backends[k].program.n &&
                !(apps && app_defs_find(apps->defs, pool->name, pool->backends[k].program)))
                ok = config_error(diag, pool->backends[k].at,
                                  "this program was not configured when sluice was started\n"
                                  "restart it");
    }
    return ok;
}

void apps_follow(struct apps *apps, struct generation *g)
{
    list_each_safe (node, &apps->list) {
        struct pool_app *a = pool_app_of(node);
        if (a->pool && pool_named(g, a->def->pool) != a->pool)
            let_go(a);
    }
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++) {
        const struct pool_conf *conf = &g->snapshot->pools[i];
        if (conf->spawn && !find(apps, conf->name))
            start(apps, g->pools[i], app_defs_find(apps->defs, conf->name, SLICE_NONE));
    }
}

void apps_stop(struct apps *apps, void (*done)(void *ctx), void *ctx)
{
    apps->is_stopping = true;
    apps->done = done;
    apps->done_ctx = ctx;
    if (list_is_empty(&apps->list))
        done(ctx);
    list_each_safe (node, &apps->list)
        if (pool_app_of(node)->pool)
            let_go(pool_app_of(node));
}

void apps_reconnect(struct apps *apps, int channel)
{
    int error = spawn_reconnect(&apps->spawn, channel);
    if (error) {
        log_error(0, "cannot talk to the spawner: %s", strerror(-error));
        return;
    }
    list_each (node, &apps->list)
        app_resume(pool_app_of(node)->app);
}

bool apps_restart(struct apps *apps, struct slice pool)
{
    struct pool_app *a = find(apps, pool);
    if (a)
        app_restart(a->app);
    return a != NULL;
}

const struct app *apps_find(const struct apps *apps, struct slice pool)
{
    const struct pool_app *a = find(apps, pool);
    return a ? a->app : NULL;
}
