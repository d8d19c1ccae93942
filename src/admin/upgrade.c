/* POST /upgrade: answered when the other program serves, or is known not to.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "admin/endpoints.h"
#include "admin/events.h"
#include "base/mem.h"

struct asker {
    struct list node;
    struct admin_conn *conn;
};

static void on_gone(void *owner)
{
    struct asker *asker = owner;
    list_remove(&asker->node);
    free(asker);
}

void answer_upgrade(struct call *c)
{
    const char *why = gateway_upgrade(c->admin->gateway);
    if (why) {
        admin_refuse(c->conn, 409, "%s", why);
        return;
    }
    struct asker *asker = mem_zalloc(sizeof(*asker));
    asker->conn = c->conn;
    list_init(&asker->node);
    list_append(&c->admin->upgrades, &asker->node);
    uint32_t limit_ms = gateway_generation(c->admin->gateway)->snapshot->gateway.upgrade_ms;
    admin_request_wait(c->conn, asker, on_gone, limit_ms + 1000);
}

void admin_upgraded(void *service, const char *why)
{
    struct admin *a = service;
    struct list *node;
    while ((node = list_shift(&a->upgrades))) {
        struct asker *asker = container_of(node, struct asker, node);
        struct call call = {.admin = a, .conn = asker->conn};
        if (why)
            admin_refuse(asker->conn, 500, "upgrade failed, the old program goes on serving: %s",
                         why);
        else
            reply_json(&call, 200, json_pack("{s:b}", "ok", 1));
        free(asker);
    }
    events_tell(a->events, "upgrade", json_pack("{s:b, s:s*}", "ok", !why, "why", why));
    if (!why)
        admin_server_leave(&a->server);
}

void upgrades_end(struct admin *a)
{
    struct list *node;
    while ((node = list_shift(&a->upgrades)))
        free(container_of(node, struct asker, node));
}
