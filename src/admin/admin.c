/* SPDX-License-Identifier: MIT */
#include "admin/admin.h"

#include <stdlib.h>

#include "admin/changes.h"
#include "admin/connections.h"
#include "admin/endpoints.h"
#include "admin/events.h"
#include "base/mem.h"

static void handle(void *ctx, struct admin_request *r)
{
    endpoints_handle(ctx, r);
}

static bool listen_as_configured(struct admin *a)
{
    const struct gateway_conf *conf = &gateway_generation(a->gateway)->snapshot->gateway;
    return admin_server_listen(&a->server, conf->admin, conf->admin_count);
}

static void stop(void *service)
{
    struct admin *a = service;
    admin_server_fini(&a->server);
    gathers_end(a);
    upgrades_end(a);
    events_free(a->events);
    changes_free(a->changes);
    free(a);
}

static void *start(struct gateway *g)
{
    struct admin *a = mem_zalloc(sizeof(*a));
    a->gateway = g;
    a->started_us = loop_wall_us();
    a->begun_us = loop_clock_us();
    list_init(&a->gathers);
    list_init(&a->upgrades);
    a->events = events_new(g);
    a->changes = changes_new(g);
    admin_server_init(&a->server, gateway_loop(g), gateway_handover(g), handle, a);
    if (listen_as_configured(a))
        return a;
    stop(a);
    return NULL;
}

static void reloaded(void *service)
{
    struct admin *a = service;
    listen_as_configured(a);
    changes_reloaded(a->changes);
    events_tell_reload(a->events);
}

static int send_doors(void *service, int channel)
{
    struct admin *a = service;
    return admin_server_send(&a->server, channel);
}

const struct gateway_service admin_service = {.start = start,
                                              .reloaded = reloaded,
                                              .send = send_doors,
                                              .upgraded = admin_upgraded,
                                              .stop = stop};

void answer_reload(struct call *c)
{
    struct config_diag diag;
    config_diag_init(&diag);
    bool ok = gateway_reload(c->admin->gateway, &diag);
    struct slice text = config_diag_print(&diag, &diag.arena);
    const char *key = ok ? "warnings" : "error";
    json_t *json = json_pack("{s:b, s:i}", "ok", ok, "generation",
                             (int)gateway_generation(c->admin->gateway)->number);
    if (text.n || !ok)
        json_object_set_new(json, key, json_stringn(text.n ? text.p : "", text.n));
    config_diag_fini(&diag);
    reply_json(c, ok ? 200 : 422, json);
}

void answer_stop(struct call *c)
{
    struct admin *a = c->admin;
    bool again = a->stopping;
    a->stopping = true;
    reply_json(c, 202, json_pack("{s:b, s:b}", "ok", 1, "at_once", again));
    events_tell(a->events, "stop", json_pack("{s:b}", "at_once", again));
    gateway_stop(a->gateway);
}
