/* SPDX-License-Identifier: MIT */
#include "house/gateway.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/verifier.h"
#include "house/apps.h"
#include "house/crash.h"
#include "house/listening.h"
#include "house/names.h"
#include "house/notify.h"
#include "house/privilege.h"
#include "house/tls_back.h"
#include "house/tls_front.h"
#include "house/upgrade.h"
#include "net/handover.h"
#include "pool/members.h"
#include "proc/master.h"
#include "proc/opener.h"
#include "proc/spawner.h"
#include "rewrite/regex.h"

enum { SUMMARY_MS = 1000 };

struct gateway {
    const struct gateway_source *source;
    const struct gateway_service *service;
    void *service_state;
    struct loop loop; /* the main thread's */
    struct watch signals;
    struct timer stop_deadline;
    struct timer summary;
    struct log_writer *log_writer;
    struct log_output *error_log;
    struct listenings listenings;
    const struct master_link *link; /* NULL: nothing is run, and there is no master */
    struct app_defs *first_defs; /* what may be run at first: a reference, until it is in place */
    struct apps *apps;           /* likewise */
    struct watch control;        /* from the master */
    struct tls_store tls_store;
    struct timer renewal;      /* of certificates */
    struct handover *handover; /* sockets of a gateway whose place we take */
    struct upgrade upgrade;    /* by one that takes ours */
    struct names *names;
    struct generation *current;
    uint32_t generations;      /* put in place so far */
    struct verifier *verifier; /* of passwords, for the workers */
    struct worker *workers;
    uint32_t worker_count;
    bool are_running; /* the workers' threads */
    bool stopping;
    bool is_leaving; /* another serves: clients may stay for a while */
    atomic_uint running;
    struct post ended;
};

const struct generation *gateway_generation(const struct gateway *g)
{
    return g->current;
}

struct loop *gateway_loop(struct gateway *g)
{
    return &g->loop;
}

struct apps *gateway_apps(struct gateway *g)
{
    return g->apps;
}

struct handover *gateway_handover(struct gateway *g)
{
    return g->handover;
}

const struct listenings *gateway_listenings(const struct gateway *g)
{
    return &g->listenings;
}

struct worker *gateway_workers(struct gateway *g, uint32_t *count)
{
    *count = g->worker_count;
    return g->workers;
}

static int failed(const char *what, int error)
{
    log_error(0, "%s: %s", what, strerror(-error));
    return error;
}

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

static int set_error_log(struct gateway *g, const struct gateway_conf *conf)
{
    struct log_output *old = g->error_log, *next;
    int error = open_log(g, conf->error_path, &next);
    if (error)
        return error;
    log_set_level((enum log_level)conf->error_level);
    log_writer_install(g->log_writer, next, LOG_TEXT);
    g->error_log = next;
    if (old)
        log_output_close(old);
    return 0;
}

static void on_summary(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, summary);
    log_summarise(false);
    timer_set(&g->loop, t, SUMMARY_MS);
}

static void close_logs(struct gateway *g)
{
    if (!g->log_writer)
        return;
    log_summarise(true);
    if (g->error_log)
        log_output_close(g->error_log);
    log_writer_free(g->log_writer);
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
static void follow_pool(struct gateway *g, struct gateway_pool *gp, const struct pool_conf *conf,
                        bool is_shared, struct tls_client *tls)
{
    const struct pool_conf *old = gp->pool.conf;
    if (is_shared)
        pool_set_conf(&gp->pool, conf);
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
        return failed("resolver", error);
    g->names = names;
    for (uint32_t i = 0; i < next->snapshot->pool_count; i++)
        follow_pool(g, next->pools[i], &next->snapshot->pools[i], generation_shares_pool(next, i),
                    tls[i]);
    if (old)
        names_free(old);
    return 0;
}

static void drop_tls(struct tls_client **tls, uint32_t count)
{
    for (uint32_t i = 0; tls && i < count; i++)
        tls_client_unref(tls[i]);
    free(tls);
}

static struct worker_change *make_change(struct gateway *g, uint32_t worker)
{
    const struct gateway_conf *conf = &g->current->snapshot->gateway;
    struct worker_change *c = mem_zalloc(sizeof(*c));
    c->worker = &g->workers[worker];
    c->tenure = tenure_new(g->current, &g->loop);
    c->client_limit = (conf->conns + g->worker_count - 1) / g->worker_count;
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

/* Contexts for all pools, NULL for those that are plain. 0, or -EINVAL: one cannot be made, which
 * is logged. */
static int make_tls(struct gateway *g, const struct snapshot *s, struct tls_client ***all)
{
    struct tls_client **tls = *all = mem_zalloc((s->pool_count + 1) * sizeof(*tls));
    struct config_diag diag;
    config_diag_init(&diag);
    for (uint32_t i = 0; i < s->pool_count; i++)
        if (s->pools[i].tls.is_on)
            tls[i] = tls_back_new(&s->pools[i], &g->tls_store, &diag);
    bool ok = diag.errors == 0;
    tls_log_diag(&diag);
    config_diag_fini(&diag);
    return ok ? 0 : -EINVAL;
}

/* ---- certificates that are renewed ---- */

static void renew(struct gateway *g)
{
    const struct generation *now = g->current;
    struct tls_client **tls;
    int error = make_tls(g, now->snapshot, &tls);
    if (!error)
        error = listenings_renew(&g->listenings, now->snapshot);
    if (error) {
        drop_tls(tls, now->snapshot->pool_count);
        log_error(0,
                  "TLS: the files have changed, but cannot be used: the certificates in place go "
                  "on serving");
        return;
    }
    for (uint32_t i = 0; i < now->snapshot->pool_count; i++)
        pool_set_tls(&now->pools[i]->pool, tls[i]);
    free(tls);
    listenings_switch_tls(&g->listenings);
    list_each (node, &g->listenings.list) {
        const struct listening *l = container_of(node, struct listening, node);
        for (uint32_t i = 0; i < g->worker_count; i++)
            worker_set_tls(&g->workers[i], l->id, l->tls);
    }
    log_info(0, "TLS: the files have changed, new connections use what they hold now");
}

static void watch_certificates(struct gateway *g)
{
    uint32_t check_ms = g->current->snapshot->gateway.certificate_ms;
    timer_clear(&g->renewal);
    if (check_ms && g->tls_store.count)
        timer_set(&g->loop, &g->renewal, check_ms);
}

static void on_renewal(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, renewal);
    if (!g->stopping && tls_store_has_changed(&g->tls_store))
        renew(g);
    watch_certificates(g);
}

/* Takes over the snapshot and the definitions. 0 or -errno, logged; then nothing has changed. */
static int put_in_place(struct gateway *g, struct snapshot *s, struct app_defs *defs)
{
    struct log_output *access_log = NULL;
    struct tls_client **tls = NULL;
    int error = set_error_log(g, &s->gateway);
    if (!error)
        error = open_log(g, s->gateway.access_path, &access_log);
    if (!error)
        error = make_tls(g, s, &tls);
    if (!error)
        error = listenings_prepare(&g->listenings, s);
    if (error) {
        drop_tls(tls, s->pool_count);
        if (access_log)
            log_output_close(access_log);
        app_defs_unref(defs);
        snapshot_unref(s);
        return error;
    }
    struct generation *next =
        generation_new(s, access_log, defs, g->current, g->worker_count, ++g->generations);
    error = follow_pools(g, next, tls);
    if (error) {
        drop_tls(tls, s->pool_count);
        listenings_revert(&g->listenings);
        generation_unhold(next);
        return error;
    }
    free(tls);
    struct generation *old = g->current;
    g->current = next;
    if (g->apps)
        apps_follow(g->apps, next);
    listenings_switch_tls(&g->listenings);
    tell_workers(g);
    watch_certificates(g);
    if (old)
        generation_unhold(old);
    listenings_commit(&g->listenings);
    return 0;
}

/* Settings of a running process that only a start can change. */
static void warn_of_fixed_settings(const struct gateway *g, const struct snapshot *s)
{
    const struct gateway_conf *was = &g->current->snapshot->gateway, *is = &s->gateway;
    if (was->threads != is->threads)
        log_warn(0, "reload: 'threads' takes effect at the next start");
    if (!slice_eq(was->user, is->user) || !slice_eq(was->group, is->group))
        log_warn(0, "reload: 'user' and 'group' take effect at the next start");
}

/* ---- workers ---- */

static uint32_t count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct gateway *g = container_of(w->main_loop, struct gateway, loop);
    log_writer_attach(g->log_writer);
    loop_run(&w->loop);
    log_summarise(true);
    log_writer_detach(g->log_writer);
    regex_end_thread();
    if (atomic_fetch_sub(&g->running, 1) == 1)
        loop_post(&g->loop, &g->ended);
    return NULL;
}

/* Large bufs are mappings of their own, which go back to the kernel when they are freed; among
 * small ones they would keep what a burst has needed. */
static void set_up_malloc(void)
{
    mallopt(M_MMAP_THRESHOLD, BUF_MEDIUM + 4096);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static int init_workers(struct gateway *g, uint32_t count)
{
    set_up_malloc();
    size_t size = (count * sizeof(struct worker) + 63) & ~(size_t)63;
    g->workers = aligned_alloc(64, size);
    if (!g->workers)
        return -ENOMEM;
    for (; g->worker_count < count; g->worker_count++) {
        int error = worker_init(&g->workers[g->worker_count], &g->loop, g->worker_count, count);
        if (error)
            return failed("event loop", error);
        g->workers[g->worker_count].verifier = g->verifier;
    }
    listenings_init(&g->listenings, count);
    return 0;
}

static int start_workers(struct gateway *g)
{
    atomic_init(&g->running, g->worker_count);
    g->are_running = true;
    for (uint32_t i = 0; i < g->worker_count; i++) {
        int rc = pthread_create(&g->workers[i].thread, NULL, run_worker, &g->workers[i]);
        if (rc) {
            log_error(0, "cannot start a thread: %s", strerror(rc));
            abort(); /* those that run cannot serve alone */
        }
    }
    return 0;
}

static void on_apps_stopped(void *ctx)
{
    struct gateway *g = ctx;
    loop_stop(&g->loop);
}

/* Connections that are kept go first: an application that waits on one would not end. */
static void end_workers(struct gateway *g)
{
    for (uint32_t i = 0; g->are_running && i < g->worker_count; i++)
        pthread_join(g->workers[i].thread, NULL);
    g->are_running = false;
    verifier_stop(g->verifier);
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_let_go(&g->workers[i]);
}

/* No request is left: applications may end, too. */
static void on_ended(struct post *p)
{
    struct gateway *g = container_of(p, struct gateway, ended);
    if (!g->apps) {
        loop_stop(&g->loop);
        return;
    }
    apps_stop(g->apps, on_apps_stopped, g);
    end_workers(g);
}

/* ---- files that we may not read ourselves ---- */

static const struct slice OPENER = SLICE_INIT("opener");

/* In the helper: only what the configuration names, as it is on the disk. */
static bool may_open(void *ctx, const char *path)
{
    const struct gateway *g = ctx;
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = g->source->load(g->source->ctx, &diag);
    config_diag_fini(&diag);
    bool may = s && tls_names_file(s, slice_str(path));
    snapshot_unref(s);
    return may;
}

/* While there is no thread yet. */
static int start_opener(struct gateway *g, const struct gateway_conf *conf)
{
    if (!privilege_will_drop(conf))
        return 0;
    int channel = opener_start(may_open, g);
    if (channel < 0) {
        fprintf(stderr, "sluice: cannot start a helper to read keys: %s\n", strerror(-channel));
        return channel;
    }
    g->tls_store.opener = channel;
    return 0;
}

/* The gateway before us had one, and the rights to start it. */
static void inherit_opener(struct gateway *g)
{
    for (uint32_t i = 0; i < g->handover->count && g->tls_store.opener < 0; i++) {
        struct handover_group *group = &g->handover->groups[i];
        if (!group->name || !slice_eq(slice_str(group->name), OPENER))
            continue;
        struct handover_group taken = handover_take(group);
        g->tls_store.opener = taken.fds[0];
        free(taken.fds);
    }
}

/* ---- being replaced ---- */

static int send_sockets(void *ctx, int channel)
{
    struct gateway *g = ctx;
    int error = listenings_send(&g->listenings, channel);
    if (!error && g->tls_store.opener >= 0)
        error = handover_send(channel, OPENER, &g->tls_store.opener, 1);
    return error ? error : g->service->send(g->service_state, channel);
}

/* Idle clients may ask once more, and are told then that the connection ends: closed at once, it
 * might cross with their next request. */
static void leave(struct gateway *g)
{
    g->stopping = g->is_leaving = true;
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_stop(&g->workers[i], true);
    timer_set(&g->loop, &g->stop_deadline, g->current->snapshot->gateway.stop_ms / 2);
}

static void on_upgraded(void *ctx, const char *why)
{
    struct gateway *g = ctx;
    if (why)
        log_error(0, "upgrade failed, this gateway goes on serving: %s", why);
    else
        log_info(0, "upgrade: another process serves; requests in flight are finished here");
    g->service->upgraded(g->service_state, why);
    if (!why && !g->stopping)
        leave(g);
}

static uint32_t upgrade_ms(const struct gateway *g)
{
    return g->current->snapshot->gateway.upgrade_ms;
}

/* The master has started another program; maybe nobody here has asked for it. */
static void take_successor(struct gateway *g, int channel)
{
    if (!g->upgrade.is_under_way && !g->stopping)
        upgrade_expect(&g->upgrade, upgrade_ms(g));
    upgrade_use(&g->upgrade, channel);
}

const char *gateway_upgrade(struct gateway *g)
{
    if (g->stopping)
        return "the gateway is stopping";
    if (g->upgrade.is_under_way)
        return "an upgrade is under way already";
    log_info(0, "upgrade: starting the program anew");
    if (!g->link)
        upgrade_start(&g->upgrade, g->source->argv, upgrade_ms(g));
    else if (master_ask_upgrade(g->link->control) < 0)
        return "the master cannot be asked";
    else
        upgrade_expect(&g->upgrade, upgrade_ms(g));
    return g->upgrade.is_under_way ? NULL : "it cannot begin, see the error log";
}

static void upgrade_by_signal(struct gateway *g)
{
    const char *why = gateway_upgrade(g);
    if (why)
        log_warn(0, "upgrade: %s", why);
}

/* ---- applications ---- */

/* Each worker starts CGI programs by a channel of its own. */
static void connect_workers(struct gateway *g, int channel)
{
    for (uint32_t i = 0; i < g->worker_count; i++) {
        int own = spawner_channel(channel);
        if (own < 0)
            failed("a channel to the spawner", own);
        else
            worker_set_spawner(&g->workers[i], own, !g->are_running);
    }
}

static void take_channel(void *ctx, enum master_word word, int channel)
{
    struct gateway *g = ctx;
    if (word == MASTER_SUCCESSOR) {
        take_successor(g, channel);
        return;
    }
    connect_workers(g, channel);
    apps_reconnect(g->apps, channel);
}

static void on_control(struct watch *w, uint32_t events)
{
    struct gateway *g = container_of(w, struct gateway, control);
    enum master_word word;
    int channel;
    (void)events;
    while ((channel = master_receive(w->fd, &word)) >= 0)
        take_channel(g, word, channel);
    if (channel != -EAGAIN)
        loop_close(&g->loop, w);
}

static struct app_defs *take_first_defs(struct gateway *g)
{
    struct app_defs *defs = g->first_defs;
    g->first_defs = NULL;
    return defs;
}

static int open_apps(struct gateway *g)
{
    int error;
    if (!g->link)
        return 0;
    connect_workers(g, g->link->channel);
    g->apps = apps_new(&g->loop, g->link->channel, &error);
    if (!g->apps)
        return failed("applications", error);
    g->control = (struct watch){.fd = g->link->control, .on_event = on_control};
    return loop_watch(&g->loop, &g->control, EPOLLIN);
}

/* ---- loading another configuration ---- */

struct asking {
    struct gateway *gateway;
    struct app_defs *defs;
};

static bool asking_take(void *ctx, struct slice packet)
{
    struct asking *a = ctx;
    return app_defs_take(a->defs, packet);
}

static void asking_channel(void *ctx, enum master_word word, int channel)
{
    struct asking *a = ctx;
    take_channel(a->gateway, word, channel);
}

static bool refuse_to_run(struct config_diag *diag)
{
    return config_error(diag, (struct config_place){0},
                        "nothing was to be run when sluice was started, so it has no process that "
                        "could\nrestart it");
}

/* What s lets us run, as the master says, in *defs (NULL: nothing). False, with the reason in diag.
 */
static bool ask_definitions(struct gateway *g, struct snapshot *s, struct app_defs **defs,
                            struct config_diag *diag)
{
    *defs = NULL;
    if (!g->link)
        return !app_defs_wanted(s) || refuse_to_run(diag);
    struct asking asking = {g, app_defs_expect(s, g->current->app_defs)};
    const struct master_listener listener = {asking_take, asking_channel, &asking};
    int error = master_ask_definitions(g->link->control, &listener);
    if (!error && !app_defs_is_whole(asking.defs))
        error = -ESTALE;
    *defs = asking.defs;
    if (!error)
        return true;
    app_defs_unref(asking.defs);
    return config_error(diag, (struct config_place){0}, "what is to be run cannot be prepared: %s",
                        error == -ECANCELED ? "the master has said why on standard error"
                        : error == -ESTALE  ? "the configuration has changed meanwhile, try again"
                                            : strerror(-error));
}

bool gateway_reload(struct gateway *g, struct config_diag *diag)
{
    struct app_defs *defs;
    if (g->stopping || g->upgrade.is_under_way)
        return config_error(diag, (struct config_place){0},
                            g->stopping ? "the gateway is stopping" : "an upgrade is under way");
    struct snapshot *s = g->source->load(g->source->ctx, diag);
    if (!s)
        return false;
    if (!ask_definitions(g, s, &defs, diag)) {
        snapshot_unref(s);
        return false;
    }
    warn_of_fixed_settings(g, s);
    int error = put_in_place(g, s, defs);
    if (error)
        return config_error(diag, (struct config_place){0}, "cannot put it in place: %s",
                            strerror(-error));
    log_info(0, "configuration %u is in place", g->generations);
    g->service->reloaded(g->service_state);
    return true;
}

static void reload_by_signal(struct gateway *g)
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

/* ---- signals ---- */

static void on_stop_deadline(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, stop_deadline);
    if (g->is_leaving) {
        g->is_leaving = false;
        for (uint32_t i = 0; i < g->worker_count; i++)
            worker_stop(&g->workers[i], false);
        timer_set(&g->loop, t, g->current->snapshot->gateway.stop_ms / 2);
        return;
    }
    log_warn(0, "requests are still in flight: breaking them off (stop-timeout)");
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_kill(&g->workers[i]);
}

void gateway_stop(struct gateway *g)
{
    if (g->stopping && !g->is_leaving) {
        timer_clear(&g->stop_deadline);
        on_stop_deadline(&g->stop_deadline);
        return;
    }
    log_info(0, "stopping: no new connections, requests in flight are finished");
    g->stopping = true;
    g->is_leaving = false;
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_stop(&g->workers[i], false);
    timer_set(&g->loop, &g->stop_deadline, g->current->snapshot->gateway.stop_ms);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct gateway *g = container_of(w, struct gateway, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP || info.ssi_signo == SIGUSR1)
            log_writer_reopen(g->log_writer);
        switch (info.ssi_signo) {
        case SIGHUP: reload_by_signal(g); break;
        case SIGUSR1: break;
        case SIGUSR2: upgrade_by_signal(g); break;
        case SIGCHLD: upgrade_reap(&g->upgrade); break;
        default: gateway_stop(g);
        }
    }
}

/* Before any thread is started, so that all inherit the mask. */
static int watch_signals(struct gateway *g)
{
    sigset_t set;
    sigemptyset(&set);
    static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* splice and sendfile know no MSG_NOSIGNAL */
    g->signals.on_event = on_signal;
    g->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (g->signals.fd < 0)
        return -errno;
    return loop_watch(&g->loop, &g->signals, EPOLLIN);
}

/* ---- from start to stop ---- */

/* All is well: the gateway before this one, if there is one, may leave. */
static int take_over(struct gateway *g)
{
    int error = handover_say_serving(g->handover);
    if (error) {
        failed("the gateway before this one is gone, or serves itself", error);
        gateway_stop(g); /* what may have been accepted is served */
        loop_run(&g->loop);
        return error;
    }
    handover_close(g->handover);
    notify_serving(g->link ? getppid() : getpid());
    return 0;
}

static int start(struct gateway *g, struct snapshot *s)
{
    const struct gateway_conf *conf = &s->gateway;
    uint32_t threads = conf->threads ? conf->threads : count_cores();
    int error = start_opener(g, conf);
    if (!error)
        error = watch_signals(g);
    if (!error)
        g->log_writer = log_writer_new(0, &error);
    if (!error)
        error = init_workers(g, threads);
    if (error) {
        snapshot_unref(s);
        return error;
    }
    crash_watch(g->workers, g->worker_count);
    error = handover_receive(g->handover);
    g->listenings.handover = g->handover;
    g->listenings.store = &g->tls_store;
    inherit_opener(g);
    if (error)
        failed("the sockets of the gateway before this one", error);
    if (!error)
        error = open_apps(g);
    if (error)
        snapshot_unref(s);
    else
        error = put_in_place(g, s, take_first_defs(g));
    if (!error && !(g->service_state = g->service->start(g)))
        error = -EIO;
    if (!error)
        error = privilege_drop(conf);
    if (!error)
        error = start_workers(g);
    if (!error)
        error = take_over(g);
    return error;
}

static void finish(struct gateway *g)
{
    crash_unwatch();
    upgrade_fini(&g->upgrade);
    if (g->service_state)
        g->service->stop(g->service_state);
    if (g->apps)
        apps_free(g->apps);
    loop_close(&g->loop, &g->control);
    if (g->names)
        names_free(g->names);
    end_workers(g);
    if (g->current)
        generation_unhold(g->current);
    loop_drain(&g->loop); /* the last tenure takes the generation along */
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_fini(&g->workers[i]);
    if (g->worker_count)
        listenings_fini(&g->listenings);
    free(g->workers);
    verifier_free(g->verifier);
    log_info(0, "stopped");
    close_logs(g);
    timer_fini(&g->loop, &g->stop_deadline);
    timer_fini(&g->loop, &g->summary);
    timer_fini(&g->loop, &g->renewal);
    tls_store_fini(&g->tls_store);
    loop_close(&g->loop, &g->signals);
    loop_fini(&g->loop);
}

static struct snapshot *load_first(const struct gateway_source *source, struct handover *h)
{
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = source->load(source->ctx, &diag);
    struct slice text = config_diag_print(&diag, &diag.arena);
    fwrite(text.p, 1, text.n, stderr);
    if (!s)
        handover_say_failed(h, text);
    config_diag_fini(&diag);
    return s;
}

/* What a gateway process begins with. */
struct beginning {
    const struct gateway_source *source;
    const struct gateway_service *service;
    struct snapshot *snapshot;
    struct app_defs *defs;   /* NULL: nothing is to be run */
    struct app_defs *before; /* what a reload has replaced and requests may still want */
    struct handover handover;
};

static int serve(void *ctx, const struct master_link *link)
{
    struct beginning *with = ctx;
    struct gateway g = {.source = with->source,
                        .service = with->service,
                        .link = link,
                        .first_defs = with->defs,
                        .handover = &with->handover,
                        .signals = {.fd = -1},
                        .control = {.fd = -1},
                        .tls_store = {.opener = -1},
                        .ended = {.run = on_ended}};
    timer_init(&g.stop_deadline, on_stop_deadline);
    timer_init(&g.summary, on_summary);
    timer_init(&g.renewal, on_renewal);
    privilege_raise_limits();
    int error = loop_init(&g.loop);
    if (error) {
        snapshot_unref(with->snapshot);
        return EXIT_FAILURE;
    }
    g.verifier = verifier_new();
    const struct upgrade_jobs jobs = {send_sockets, on_upgraded, &g};
    upgrade_init(&g.upgrade, &g.loop, &jobs);
    timer_set(&g.loop, &g.summary, SUMMARY_MS);
    error = start(&g, with->snapshot);
    if (error)
        handover_say_failed(&with->handover, SLICE("it cannot start, and has logged why"));
    else
        loop_run(&g.loop);
    handover_close(&with->handover);
    finish(&g);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the master's part ---- */

static int define_apps(void *ctx, int channel)
{
    const struct beginning *with = ctx;
    int error = with->before ? app_defs_send(with->before, channel) : 0;
    return error ? error : app_defs_send(with->defs, channel);
}

/* What was replaced before is forgotten: a gateway has had a whole configuration to let go of it.
 */
static void replace_defs(struct beginning *with, struct app_defs *defs, int channel)
{
    if (with->before)
        (void)app_defs_forget(with->before, channel, with->defs, defs);
    app_defs_unref(with->before);
    with->before = with->defs;
    with->defs = defs;
}

/* Also for a gateway that is started again: it begins with what is in place. */
static int redefine_apps(void *ctx, int channel)
{
    struct beginning *with = ctx;
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = with->source->load(with->source->ctx, &diag);
    config_diag_fini(&diag); /* the gateway has said what is to be said */
    struct app_defs *defs = s ? app_defs_new(s, with->defs) : NULL;
    int error = defs ? app_defs_send(defs, channel) : -EINVAL;
    if (error) {
        app_defs_unref(defs);
        if (s)
            snapshot_unref(s);
        return error;
    }
    replace_defs(with, defs, channel);
    snapshot_unref(with->snapshot);
    with->snapshot = s;
    return 0;
}

static const struct spawn_def *definition(void *ctx, uint32_t i)
{
    const struct beginning *with = ctx;
    return i < with->defs->count ? &with->defs->v[i].def : NULL;
}

/* Master: the gateway has it; one that is started again finds nobody to take over from. */
static void forget_handover(void *ctx)
{
    struct beginning *with = ctx;
    handover_close(&with->handover);
}

/* With applications to run: in a process of its own, beside the spawner. */
static int serve_with_apps(struct beginning *with)
{
    int status = EXIT_FAILURE;
    const struct master_jobs jobs = {.define = define_apps,
                                     .redefine = redefine_apps,
                                     .definition = definition,
                                     .serve = serve,
                                     .started = forget_handover,
                                     .argv = with->source->argv,
                                     .ctx = with};
    with->defs = app_defs_new(with->snapshot, NULL);
    if (with->defs) {
        status = master_run(&jobs);
        app_defs_clean(with->defs);
    }
    app_defs_unref(with->before);
    app_defs_unref(with->defs);
    snapshot_unref(with->snapshot);
    return status;
}

int gateway_run(const struct gateway_source *source, const struct gateway_service *service)
{
    struct beginning with = {.source = source, .service = service};
    handover_open(&with.handover);
    with.snapshot = load_first(source, &with.handover);
    int status = EXIT_FAILURE;
    if (with.snapshot)
        status = app_defs_wanted(with.snapshot) ? serve_with_apps(&with) : serve(&with, NULL);
    handover_close(&with.handover);
    return status;
}
