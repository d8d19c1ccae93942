/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "proc/spawner.h"

/* Each worker starts CGI programs by a channel of its own. */
static void connect_workers(struct gateway *g, int channel)
{
    for (uint32_t i = 0; i < g->worker_count; i++) {
        int own = spawner_channel(channel);
        if (own < 0)
            gateway_failed("a channel to the spawner", own);
        else
            worker_set_spawner(&g->workers[i], own, !g->are_running);
    }
}

static void take_channel(void *ctx, enum master_word word, int channel)
{
    struct gateway *g = ctx;
    if (word == MASTER_SUCCESSOR) {
        gateway_take_successor(g, channel);
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
    int error;
    if (!g->link)
        return 0;
    if (g->link->channel >= 0)
        connect_workers(g, g->link->channel);
    g->apps = apps_new(&g->loop, g->link->channel, &error);
    if (!g->apps)
        return gateway_failed("applications", error);
    g->control = (struct watch){.fd = g->link->control, .on_event = on_control};
    return loop_watch(&g->loop, &g->control, EPOLLIN);
}

/* ---- what may be run under another configuration ---- */

struct asking {
    struct gateway *gateway;
    struct app_defs *defs;
};

static bool asking_take(void *ctx, struct slice packet)
{
    struct asking *a = ctx;
    return app_defs_take(a->defs, packet);
}

static bool asking_place(void *ctx, struct slice path)
{
    struct asking *a = ctx;
    return app_defs_place(a->defs, path);
}

static void asking_channel(void *ctx, enum master_word word, int channel)
{
    struct asking *a = ctx;
    take_channel(a->gateway, word, channel);
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
    struct asking asking = {g, app_defs_expect(s, g->current->app_defs)};
    const struct master_listener listener = {asking_take, asking_place, asking_channel, &asking};
    int error = master_ask_definitions(g->link->control, &listener);
    if (!error && !app_defs_is_whole(asking.defs))
        error = -ESTALE;
    *defs = asking.defs;
    if (!error)
        return true;
    app_defs_unref(asking.defs);
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
    int error = master_ask_keep(g->link->control, theirs);
    close(theirs);
    if (!error && all)
        error = listenings_send(&g->listenings, ours);
    if (!error)
        error = handover_send_end(ours);
    return error ? error : handover_await(ours);
}

void gateway_keep_sockets(struct gateway *g, bool all)
{
    int error = g->link && g->control.fd >= 0 ? send_kept(g, all) : 0;
    if (error)
        gateway_failed("the master does not keep the sockets that listen", error);
}
