/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include "base/log.h"

int gateway_send_sockets(void *ctx, int channel)
{
    struct gateway *g = ctx;
    int error = listenings_send(&g->listenings, channel);
    if (!error)
        error = gateway_send_opener(g, channel);
    return error ? error : g->service->send(g->service_state, channel);
}

void gateway_give_up(void *ctx)
{
    const struct gateway *g = ctx;
    int error = g->control.fd >= 0 ? master_ask_give_up(g->control.fd) : 0;
    if (error)
        gateway_failed("the master cannot be told", error);
}

/* Idle clients may ask once more, and are told then that the connection ends: closed at once, it
 * might cross with their next request. */
static void leave(struct gateway *g)
{
    g->phase = GATEWAY_LEAVES;
    gateway_keep_sockets(g, false);
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_stop(&g->workers[i], true);
    timer_set(&g->loop, &g->stop_deadline, g->current->snapshot->gateway.stop_ms / 2);
}

void gateway_on_upgraded(void *ctx, const char *why)
{
    struct gateway *g = ctx;
    if (why)
        log_error(0, "upgrade failed, this gateway goes on serving: %s", why);
    else
        log_info(0, "upgrade: another process serves; requests in flight are finished here");
    g->service->upgraded(g->service_state, why);
    if (!why && g->phase == GATEWAY_SERVES)
        leave(g);
}

static uint32_t upgrade_ms(const struct gateway *g)
{
    return g->current->snapshot->gateway.upgrade_ms;
}

const char *gateway_upgrade(struct gateway *g)
{
    if (g->phase != GATEWAY_SERVES)
        return "the gateway is stopping";
    if (g->upgrade.is_under_way)
        return "an upgrade is under way already";
    log_info(0, "upgrade: starting the program anew");
    if (!g->link)
        upgrade_start(&g->upgrade, g->source->argv, upgrade_ms(g));
    else if (master_ask_upgrade(g->control.fd) < 0)
        return "the master cannot be asked";
    else
        upgrade_expect(&g->upgrade, upgrade_ms(g));
    return g->upgrade.is_under_way ? NULL : "it cannot begin, see the error log";
}

void gateway_upgrade_by_signal(struct gateway *g)
{
    const char *why = gateway_upgrade(g);
    if (why)
        log_warn(0, "upgrade: %s", why);
}
