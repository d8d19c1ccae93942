/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/spawner.h"

enum { SPAWNER_AGAIN_MS = 1000 };

/* Each worker starts CGI programs by a channel of its own: all get one, or none. 0 or -errno. */
static int connect_workers(struct gateway *g, int channel)
{
    AUTO_FREE int *own = mem_alloc(g->worker_count * sizeof(*own));
    uint32_t n = 0;
    while (n < g->worker_count && (own[n] = spawner_channel(channel)) >= 0)
        n++;
    int error = n < g->worker_count ? own[n] : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (error)
            close(own[i]);
        else
            worker_set_spawner(&g->workers[i], own[i], !g->are_running);
    }
    return error;
}

/* One that has died is replaced by the master. */
static void note_lost_channel(struct gateway *g, int error)
{
    gateway_failed("a channel to the spawner", error);
    if (error == -EMFILE || error == -ENFILE)
        timer_set(&g->loop, &g->spawner_again, SPAWNER_AGAIN_MS);
}

void gateway_on_spawner_again(struct timer *t)
{
    const struct gateway *g = container_of(t, struct gateway, spawner_again);
    int error = g->control.fd >= 0 ? master_ask_spawner(g->control.fd) : 0;
    if (error)
        gateway_failed("the master cannot be asked for the spawner", error);
}

/* channel: or -errno. */
static void take_spawner(struct gateway *g, int channel)
{
    int error = channel < 0 ? channel : connect_workers(g, channel);
    if (!error) {
        apps_reconnect(g->apps, channel);
        return;
    }
    if (channel >= 0)
        close(channel);
    note_lost_channel(g, error);
}

static void take_successor(struct gateway *g, int channel)
{
    if (channel < 0)
        gateway_failed("a channel to the program that is to take our place", channel);
    else
        upgrade_use(&g->upgrade, channel);
}

static void on_control(struct watch *w, uint32_t events)
{
    struct gateway *g = container_of(w, struct gateway, control);
    enum master_word word;
    int channel;
    (void)events;
    while ((channel = master_receive(w->fd, &word)) >= 0 || channel == -EMFILE) {
        if (word == MASTER_SUCCESSOR)
            take_successor(g, channel);
        else
            take_spawner(g, channel);
    }
    if (channel == -EAGAIN)
        return;
    loop_close(&g->loop, w);
    if (g->phase >= GATEWAY_STOPS)
        return;
    log_error(0, "the master is gone: stopping");
    gateway_stop(g);
}

int gateway_open_apps(struct gateway *g)
{
    if (!g->link)
        return 0;
    int error = g->link->channel < 0 ? 0 : connect_workers(g, g->link->channel);
    if (error)
        note_lost_channel(g, error);
    g->apps = apps_new(&g->loop, g->link->channel, &error);
    if (!g->apps)
        return gateway_failed("applications", error);
    g->control = (struct watch){.fd = g->link->control, .on_event = on_control};
    return loop_watch(&g->loop, &g->control, EPOLLIN);
}

/* ---- what may be run under another configuration ---- */

static bool take_definition(void *defs, struct slice packet)
{
    return app_defs_take(defs, packet);
}

static bool take_run_dir(void *defs, struct slice path)
{
    return app_defs_place(defs, path);
}

static bool refuse_to_run(struct config_diag *diag)
{
    return config_error(diag, (struct config_place){0},
                        "sluice was started without a file, so it has no process that could run "
                        "anything");
}

bool gateway_ask_definitions(struct gateway *g, struct snapshot *s, struct app_defs **defs,
                             struct config_diag *diag)
{
    *defs = NULL;
    if (!g->link)
        return !app_defs_wanted(s) || refuse_to_run(diag);
    struct app_defs *expected = app_defs_expect(s, g->current->app_defs);
    const struct master_listener listener = {take_definition, take_run_dir, expected};
    int error = master_ask_definitions(g->control.fd, &listener);
    if (!error && !app_defs_is_whole(expected))
        error = -ESTALE;
    if (!error) {
        *defs = expected;
        return true;
    }
    app_defs_unref(expected);
    return config_error(
        diag, (struct config_place){0}, "what is to be run cannot be prepared: %s",
        error == -ECANCELED
            ? "the master has said why on standard error; sluice check may say where"
        : error == -ESTALE ? "the configuration has changed meanwhile, try again"
                           : strerror(-error));
}

/* ---- sockets that outlive us ---- */

static int send_kept(struct gateway *g, bool all)
{
    int theirs;
    AUTO_CLOSE int ours = handover_pair(&theirs);
    if (ours < 0)
        return ours;
    int error = master_ask_keep(g->control.fd, theirs);
    close(theirs);
    if (!error && all)
        error = listenings_send(&g->listenings, ours);
    if (!error)
        error = handover_send_end(ours);
    return error ? error : handover_await(ours);
}

void gateway_keep_sockets(struct gateway *g, bool all)
{
    int error = g->control.fd >= 0 ? send_kept(g, all) : 0;
    if (error)
        gateway_failed("the master does not keep the sockets that listen", error);
}
