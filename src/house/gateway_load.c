/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/members.h"

/* ---- logs ---- */

/* *out stays NULL for a log that is off. */
static int open_log(struct gateway *g, struct slice path, struct log_output **out)
{
    int error = 0;
    *out = NULL;
    if (!path.n)
        return 0;
    char *name = mem_dup(path.p, path.n);
    *out = log_output_open(g->log_writer, name, &error);
    if (!*out)
        fprintf(stderr, "sluice: cannot open log %s: %s\n", name, strerror(-error));
    free(name);
    return *out ? 0 : error;
}

static void use_error_log(struct gateway *g, const struct gateway_conf *conf,
                          struct log_output *next)
{
    struct log_output *old = g->error_log;
    log_set_level((enum log_level)conf->error_level);
    log_writer_install(g->log_writer, next, LOG_TEXT);
    g->error_log = next;
    if (old)
        log_output_close(old);
}

/* The logs of a configuration that is not in place yet; NULL for what is off. */
struct logs {
    struct log_output *error, *access;
};

static void close_logs(const struct logs *logs)
{
    if (logs->error)
        log_output_close(logs->error);
    if (logs->access)
        log_output_close(logs->access);
}

/* 0 or -errno; then none is open. */
static int open_logs(struct gateway *g, const struct gateway_conf *conf, struct logs *logs)
{
    *logs = (struct logs){0};
    int error = open_log(g, conf->error_path, &logs->error);
    if (!error)
        error = open_log(g, conf->access_path, &logs->access);
    if (error)
        close_logs(logs);
    return error;
}

/* ---- putting a configuration in place ---- */

static bool has_line(const struct pool_conf *conf, struct slice text)
{
    for (uint32_t i = 0; i < conf->backend_count; i++)
        if (slice_eq(conf->backends[i].text, text))
            return true;
    return false;
}

/* Gives a pool that goes on its new configuration, and follows the names of its lines. */
static void follow_pool(struct gateway *g, struct generation *next, uint32_t index,
                        struct tls_client *tls)
{
    struct gateway_pool *gp = next->pools[index];
    const struct pool_conf *conf = &next->snapshot->pools[index];
    const struct pool_conf *old = gp->pool.conf;
    bool is_shared = generation_shares_pool(next, index);
    if (is_shared)
        generation_set_conf(next, index);
    pool_set_tls(&gp->pool, tls);
    for (uint32_t w = 0; !is_shared && w < g->worker_count; w++)
        pool_set_loop(&gp->pool, w, &g->workers[w].loop);
    for (uint32_t i = 0; i < conf->backend_count; i++)
        names_follow(g->names, &gp->pool, &conf->backends[i],
                     is_shared && has_line(old, conf->backends[i].text));
    if (!gp->probes)
        gp->probes = probes_new(&g->loop, &gp->pool, gp->codec);
}

/* Takes over the contexts if it succeeds. */
static int follow_pools(struct gateway *g, struct generation *next, struct tls_client **tls)
{
    struct names *old = g->names;
    int error;
    struct names *names = names_new(&g->loop, &next->snapshot->gateway, &error);
    if (!names)
        return gateway_failed("resolver", error);
    g->names = names;
    for (uint32_t i = 0; i < next->snapshot->pool_count; i++)
        follow_pool(g, next, i, tls[i]);
    names_await(names);
    if (old)
        names_free(old);
    return 0;
}

static struct worker_change *make_change(struct gateway *g, uint32_t worker)
{
    const struct gateway_conf *conf = &g->current->snapshot->gateway;
    struct worker_change *c = mem_zalloc(sizeof(*c));
    c->worker = &g->workers[worker];
    c->tenure = tenure_new(g->current, &g->loop);
    c->client_limit =
        conf->conns ? (conf->conns + g->worker_count - 1) / g->worker_count : UINT32_MAX;
    list_each (node, &g->listenings.list) {
        struct listening *l = container_of(node, struct listening, node);
        if (!l->is_wanted) {
            c->removed = mem_grow(c->removed, c->removed_count + 1, sizeof(*c->removed));
            c->removed[c->removed_count++] = l->id;
            continue;
        }
        if (l->is_given)
            worker_set_tls(c->worker, l->id, l->tls);
        for (uint32_t i = worker; !l->is_given && i < l->fd_count; i += g->worker_count) {
            c->added = mem_grow(c->added, c->added_count + 1, sizeof(*c->added));
            c->added[c->added_count++] =
                (struct worker_socket){l->id, l->fds[i], &l->stats[worker],
                                       l->tls ? tls_server_ref(l->tls) : NULL, l->address};
        }
    }
    return c;
}

static void tell_workers(struct gateway *g)
{
    for (uint32_t i = 0; i < g->worker_count; i++) {
        struct worker_change *change = make_change(g, i);
        if (g->are_running)
            worker_send(change);
        else
            worker_apply(change);
    }
}

/* What is opened and made before anything is changed. 0 or -errno; then all is as it was. */
static int prepare(struct gateway *g, const struct snapshot *s, struct tls_client ***tls)
{
    int error = gateway_make_tls(g, s, tls);
    if (!error)
        error = listenings_prepare(&g->listenings, s);
    if (!error)
        return 0;
    gateway_drop_tls(*tls, s->pool_count);
    tls_store_forget_looks(&g->tls_store);
    return error;
}

int gateway_put_in_place(struct gateway *g, struct snapshot *s, struct app_defs *defs)
{
    struct generation *old = g->current;
    struct logs logs;
    struct tls_client **tls;
    int error = open_logs(g, &s->gateway, &logs);
    if (!error && !old) { /* it tells how the start goes */
        use_error_log(g, &s->gateway, logs.error);
        logs.error = NULL;
    }
    if (!error && (error = prepare(g, s, &tls)) < 0)
        close_logs(&logs);
    if (error) {
        app_defs_unref(defs);
        snapshot_unref(s);
        return error;
    }
    struct generation *next =
        generation_new(s, logs.access, defs, old, g->worker_count, ++g->generations);
    error = follow_pools(g, next, tls);
    if (error) {
        gateway_drop_tls(tls, s->pool_count);
        tls_store_forget_looks(&g->tls_store);
        listenings_revert(&g->listenings);
        if (logs.error)
            log_output_close(logs.error);
        generation_unhold(next);
        return error;
    }
    free(tls);
    g->current = next;
    if (old)
        use_error_log(g, &s->gateway, logs.error);
    if (g->apps && old) /* at a start their sockets would be root's */
        apps_follow(g->apps, next);
    listenings_switch_tls(&g->listenings);
    gateway_keep_sockets(g, true); /* what is to close must not stay open elsewhere */
    tell_workers(g);
    gateway_watch_certificates(g);
    if (old)
        generation_unhold(old);
    listenings_commit(&g->listenings);
    return 0;
}

/* ---- loading another one ---- */

/* Settings of a running process that only a start can change. */
static void warn_of_fixed_settings(const struct gateway *g, const struct snapshot *s)
{
    const struct gateway_conf *was = &g->current->snapshot->gateway, *is = &s->gateway;
    if (was->threads != is->threads)
        log_warn(0, "reload: 'threads' takes effect at the next start");
    if (!slice_eq(was->user, is->user) || !slice_eq(was->group, is->group))
        log_warn(0, "reload: 'user' and 'group' take effect at the next start");
}

bool gateway_reload(struct gateway *g, struct config_diag *diag)
{
    struct app_defs *defs;
    if (g->phase != GATEWAY_SERVES)
        return config_error(diag, (struct config_place){0}, "the gateway is stopping");
    if (g->upgrade.is_under_way)
        return config_error(diag, (struct config_place){0}, "an upgrade is under way");
    struct snapshot *s = g->source->load(g->source->ctx, diag);
    if (!s)
        return false;
    if (!gateway_ask_definitions(g, s, &defs, diag)) {
        snapshot_unref(s);
        return false;
    }
    warn_of_fixed_settings(g, s);
    g->listenings.diag = diag;
    int error = gateway_put_in_place(g, s, defs);
    g->listenings.diag = NULL;
    if (error && diag->errors)
        return false;
    if (error)
        return config_error(diag, (struct config_place){0},
                            "cannot put it in place: %s\nthe error log says more",
                            strerror(-error));
    log_info(0, "configuration %u is in place", g->generations);
    g->service->reloaded(g->service_state);
    return true;
}

void gateway_reload_by_signal(struct gateway *g)
{
    struct config_diag diag;
    config_diag_init(&diag);
    bool ok = gateway_reload(g, &diag);
    struct slice text = config_diag_print(&diag, &diag.arena);
    for (struct slice line; text.n;
         text = slice_skip(text, line.n < text.n ? line.n + 1 : line.n)) {
        line = slice_first(text, slice_find(text, '\n'));
        log_at(ok ? LEVEL_WARN : LEVEL_ERROR, 0, "reload: " SLICE_FMT, SLICE_ARG(line));
    }
    if (!ok)
        log_error(0, "reload failed: the configuration in place goes on serving");
    config_diag_fini(&diag);
}
