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
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "core/verifier.h"
#include "house/crash.h"
#include "house/gateway_internal.h"
#include "house/notify.h"
#include "house/privilege.h"
#include "rewrite/regex.h"

enum { SUMMARY_MS = 1000 };

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

int gateway_failed(const char *what, int error)
{
    log_error(0, "%s: %s", what, strerror(-error));
    return error;
}

/* ---- logs ---- */
static void on_summary(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, summary);
    log_summarise(false);
    give_back_look(&g->memory, g->workers, g->worker_count);
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

/* ---- workers ---- */

static uint32_t count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

uint32_t gateway_threads(const struct gateway_conf *conf)
{
    return conf->threads ? conf->threads : count_cores();
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct gateway *g = container_of(w->main_loop, struct gateway, loop);
    char name[16];
    snprintf(name, sizeof(name), "sluice/%u", w->index);
    prctl(PR_SET_NAME, name);
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
    listenings_init(&g->listenings, count);
    g->workers = aligned_alloc(64, size);
    if (!g->workers)
        return -ENOMEM;
    while (g->worker_count < count) {
        struct worker *w = &g->workers[g->worker_count];
        int error = worker_init(w, &g->loop, g->worker_count++, count);
        if (error)
            return gateway_failed("event loop", error);
        w->verifier = g->verifier;
    }
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
    for (uint32_t i = 0; i < g->worker_count; i++) /* what they have handed to each other */
        loop_drain(&g->workers[i].loop);
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

/* ---- signals ---- */

static void on_stop_deadline(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, stop_deadline);
    if (g->phase == GATEWAY_LEAVES) {
        g->phase = GATEWAY_STOPS;
        for (uint32_t i = 0; i < g->worker_count; i++)
            worker_stop(&g->workers[i], false);
        timer_set(&g->loop, t, g->current->snapshot->gateway.stop_ms / 2);
        return;
    }
    g->phase = GATEWAY_BREAKS_OFF;
    log_warn(0, "requests are still in flight: breaking them off (stop-timeout)");
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_kill(&g->workers[i]);
}

void gateway_stop(struct gateway *g)
{
    if (g->phase == GATEWAY_BREAKS_OFF)
        return;
    if (g->phase == GATEWAY_STOPS) {
        timer_clear(&g->stop_deadline);
        on_stop_deadline(&g->stop_deadline);
        return;
    }
    log_info(0, "stopping: no new connections, requests in flight are finished");
    g->phase = GATEWAY_STOPS;
    gateway_keep_sockets(g, false);
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
        case SIGHUP: gateway_reload_by_signal(g); break;
        case SIGUSR1: break;
        case SIGUSR2: gateway_upgrade_by_signal(g); break;
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

static struct app_defs *take_first_defs(struct gateway *g)
{
    struct app_defs *defs = g->first_defs;
    g->first_defs = NULL;
    return defs;
}

/* ---- from start to stop ---- */

/* All is well: the gateway before this one, if there is one, may leave. */
static int take_over(struct gateway *g)
{
    int error = handover_say_serving(g->handover);
    if (error) {
        gateway_failed("the gateway before this one is gone, or serves itself", error);
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
    uint32_t threads = gateway_threads(conf);
    int error = gateway_start_opener(g, conf);
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
    gateway_inherit_opener(g);
    if (error)
        gateway_failed("the sockets of the gateway before this one", error);
    if (!error)
        error = gateway_open_apps(g);
    if (error)
        snapshot_unref(s);
    else
        error = gateway_put_in_place(g, s, take_first_defs(g));
    if (!error && !(g->service_state = g->service->start(g)))
        error = -EIO;
    if (!error)
        error = privilege_drop(conf);
    if (!error && g->apps)
        apps_follow(g->apps, g->current);
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
    if (g->listenings.workers)
        listenings_fini(&g->listenings);
    free(g->workers);
    verifier_free(g->verifier);
    log_info(0, "stopped");
    close_logs(g);
    timer_fini(&g->loop, &g->stop_deadline);
    timer_fini(&g->loop, &g->summary);
    timer_fini(&g->loop, &g->renewal);
    timer_fini(&g->loop, &g->spawner_again);
    tls_store_fini(&g->tls_store);
    loop_close(&g->loop, &g->signals);
    loop_fini(&g->loop);
}

/* What has no log yet would be told nobody. */
static void say_no_start(const struct gateway *g, int error)
{
    if (!g->error_log)
        fprintf(stderr, "sluice: cannot start: %s\n", strerror(-error));
}

int gateway_serve(void *ctx, const struct master_link *link)
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
    timer_init(&g.renewal, gateway_on_renewal);
    timer_init(&g.spawner_again, gateway_on_spawner_again);
    privilege_raise_limits();
    int error = loop_init(&g.loop);
    if (error) {
        say_no_start(&g, error);
        snapshot_unref(with->snapshot);
        return EXIT_FAILURE;
    }
    g.verifier = verifier_new();
    const struct upgrade_jobs jobs = {gateway_send_sockets, gateway_give_up, gateway_on_upgraded,
                                      &g};
    upgrade_init(&g.upgrade, &g.loop, &jobs);
    timer_set(&g.loop, &g.summary, SUMMARY_MS);
    error = start(&g, with->snapshot);
    if (error) {
        say_no_start(&g, error);
        handover_say_failed(&with->handover, SLICE("it cannot start, and has logged why"));
    } else {
        loop_run(&g.loop);
    }
    handover_close(&with->handover);
    finish(&g);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
