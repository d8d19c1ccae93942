/* SPDX-License-Identifier: MIT */
#include "house/apps.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/members.h"
#include "proc/supervise.h"

/*  SERVES  gets the pool's requests
 *  IS_OLD  until another has come to take its place
 *  LEAVES  the pool is gone, or has other backends: ends with the requests it has */
struct pool_app {
    struct list node;
    struct apps *apps;
    struct gateway_pool *pool;
    struct generation *held; /* the newest that has the pool and runs its processes */
    struct app_defs *defs;   /* def is one of them: a reference */
    const struct app_def *def;
    struct app *app;
    uint32_t first_slot; /* of the pool: two that follow each other have none in common */
    enum { APP_SERVES, APP_IS_OLD, APP_LEAVES } phase;
    struct deferred free;
};

enum { SLOTS_EACH = 4096 };

struct apps {
    struct loop *loop;
    struct spawn spawn;
    struct list list;
    uint32_t started; /* so far */
    bool is_stopping;
    void (*done)(void *ctx);
    void *done_ctx;
};

struct apps *apps_new(struct loop *l, int channel, int *error)
{
    struct apps *apps = mem_zalloc(sizeof(*apps));
    apps->loop = l;
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
    if (a->phase == APP_SERVES)
        pool_set_grower(&a->pool->pool, NULL, NULL, NULL);
    app_free(a->app);
    list_remove(&a->node);
    app_defs_unref(a->defs);
    generation_unhold(a->held);
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

/* The pool has its newest application: those before it end with the requests they have. */
static void stop_old(struct pool_app *newest)
{
    list_each (node, &newest->apps->list) {
        struct pool_app *a = pool_app_of(node);
        if (a->phase == APP_IS_OLD && a->pool == newest->pool)
            app_stop(a->app);
    }
}

static void on_address(void *ctx, uint32_t slot, const struct net_addr *addr, uint32_t capacity)
{
    struct pool_app *a = ctx;
    struct pool_address address = {.len = addr->len};
    memcpy(&address.sa, &addr->sa, addr->len);
    pool_put_slot(&a->pool->pool, a->first_slot + slot, &address, capacity);
    if (capacity && a->phase == APP_SERVES)
        stop_old(a);
}

static void on_gone(void *ctx, uint32_t slot)
{
    struct pool_app *a = ctx;
    pool_drop_slot(&a->pool->pool, a->first_slot + slot);
}

static struct app_load get_load(void *ctx, uint32_t slot)
{
    struct pool_app *a = ctx;
    struct slot_load load = pool_slot_load(&a->pool->pool, a->first_slot + slot);
    return (struct app_load){.busy = load.busy, .served = load.served};
}

static uint32_t get_waiting(void *ctx)
{
    struct pool_app *a = ctx;
    return a->phase == APP_SERVES ? pool_waiting(&a->pool->pool) : 0;
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
    for (struct list *n = apps->list.next; n != &apps->list; n = n->next) {
        struct pool_app *a = pool_app_of(n);
        if (a->phase == APP_SERVES && slice_eq(a->def->pool, pool))
            return a;
    }
    return NULL;
}

static void start(struct apps *apps, struct generation *g, struct gateway_pool *pool,
                  const struct app_def *def)
{
    struct pool_app *a = mem_zalloc(sizeof(*a));
    generation_hold(g);
    *a = (struct pool_app){.apps = apps,
                           .pool = pool,
                           .held = g,
                           .defs = app_defs_ref(g->app_defs),
                           .def = def,
                           .first_slot = apps->started++ * SLOTS_EACH};
    list_init(&a->node);
    list_append(&apps->list, &a->node);
    deferred_init(&a->free, free_pool_app);
    const struct app_setup setup = {
        .conf = def->conf,
        .name = def->pool,
        .def = &def->def,
        .run_dir = a->defs->run_dir,
        .first = a->first_slot,
        .owner = {a, on_address, on_gone, get_load, get_waiting, on_stopped},
    };
    a->app = app_new(apps->loop, &apps->spawn, &setup);
    pool_set_grower(&pool->pool, apps->loop, on_wait, a);
    if (def->conf->min == 0) /* it begins when somebody waits, which nobody does beside another */
        stop_old(a);
}

static struct gateway_pool *pool_named(struct generation *g, struct slice name)
{
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (g->snapshot->pools[i].spawn && slice_eq(g->snapshot->pools[i].name, name))
            return g->pools[i];
    return NULL;
}

static void let_go(struct pool_app *a)
{
    if (a->phase == APP_SERVES)
        pool_set_grower(&a->pool->pool, NULL, NULL, NULL);
    a->phase = APP_LEAVES;
    app_stop(a->app);
}

static void hold(struct pool_app *a, struct generation *g)
{
    generation_hold(g);
    generation_unhold(a->held);
    a->held = g;
}

/* What runs for the pool, unless it is to be run in another way from now on. */
static bool goes_on(struct apps *apps, const struct app_def *def)
{
    struct pool_app *a = find(apps, def->pool);
    if (!a || a->def->def.index == def->def.index)
        return a;
    log_info(0, "pool " SLICE_FMT ": its application is replaced by another definition of it",
             SLICE_ARG(def->pool));
    a->phase = APP_IS_OLD;
    return false;
}

void apps_follow(struct apps *apps, struct generation *g)
{
    list_each_safe (node, &apps->list) {
        struct pool_app *a = pool_app_of(node);
        if (pool_named(g, a->def->pool) == a->pool)
            hold(a, g);
        else
            let_go(a);
    }
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++) {
        const struct pool_conf *conf = &g->snapshot->pools[i];
        const struct app_def *def = app_defs_find(g->app_defs, conf->name, SLICE_NONE);
        if (conf->spawn && def && !goes_on(apps, def))
            start(apps, g, g->pools[i], def);
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
