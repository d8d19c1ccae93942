/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "house/privilege.h"
#include "house/tls_back.h"
#include "house/tls_front.h"
#include "proc/opener.h"

void gateway_drop_tls(struct tls_client **tls, uint32_t count)
{
    for (uint32_t i = 0; tls && i < count; i++)
        tls_client_unref(tls[i]);
    free(tls);
}

int gateway_make_tls(struct gateway *g, const struct snapshot *s, struct tls_client ***all)
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
    int error = gateway_make_tls(g, now->snapshot, &tls);
    if (!error)
        error = listenings_renew(&g->listenings, now->snapshot);
    if (error) {
        gateway_drop_tls(tls, now->snapshot->pool_count);
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

void gateway_watch_certificates(struct gateway *g)
{
    uint32_t check_ms = g->current->snapshot->gateway.certificate_ms;
    timer_clear(&g->renewal);
    if (check_ms && g->tls_store.count)
        timer_set(&g->loop, &g->renewal, check_ms);
}

void gateway_on_renewal(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, renewal);
    if (g->phase == GATEWAY_SERVES && tls_store_has_changed(&g->tls_store))
        renew(g);
    gateway_watch_certificates(g);
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

int gateway_start_opener(struct gateway *g, const struct gateway_conf *conf)
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

void gateway_inherit_opener(struct gateway *g)
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

int gateway_send_opener(const struct gateway *g, int channel)
{
    return g->tls_store.opener < 0 ? 0 : handover_send(channel, OPENER, &g->tls_store.opener, 1);
}
