/* What can be done to pools at run time, over HTTP.
 * SPDX-License-Identifier: MIT */
#include <errno.h>

#include "admin/changes.h"
#include "admin/endpoints.h"
#include "admin/events.h"

enum { WEIGHT_MAX = 1000, CONNS_MAX = 1000000 };

static const char *const names[] = {"drain", "disable", "enable", "weight", "remove", "add"};

/* False: it is no such number, which has been answered. */
static bool take_number(struct call *c, const char *name, uint64_t otherwise, uint64_t min,
                        uint64_t max, uint32_t *out)
{
    uint64_t v = query_number(c, name, otherwise);
    *out = (uint32_t)v;
    if (v == otherwise || (v >= min && v <= max))
        return true;
    admin_refuse(c->conn, 400, "%s is a number from %llu to %llu", name, (unsigned long long)min,
                 (unsigned long long)max);
    return false;
}

static bool is_one_of(struct slice key, const char *const *known)
{
    while (*known && !slice_eq(key, slice_str(*known)))
        known++;
    return *known;
}

/* What is not known could be a limit that is misspelt. False: there is such, which has been
 * answered. */
static bool takes_all(struct call *c, const char *const *known)
{
    struct slice query = c->request->head->query;
    while (query.n) {
        size_t end = slice_find(query, '&');
        struct slice key = slice_first(query, end);
        key.n = slice_find(key, '=');
        if (key.n && !is_one_of(key, known)) {
            admin_refuse(c->conn, 400, "'" SLICE_FMT "' is nothing that can be said here",
                         SLICE_ARG(key));
            return false;
        }
        query = slice_skip(query, end < query.n ? end + 1 : end);
    }
    return true;
}

static void refuse(struct call *c, int error)
{
    switch (error) {
    case -ENOENT:
        admin_refuse(c->conn, 404, "pool '" SLICE_FMT "' has no backend '" SLICE_FMT "'",
                     SLICE_ARG(c->args[0]), SLICE_ARG(c->args[1]));
        return;
    case -EEXIST:
        admin_refuse(c->conn, 409, "pool '" SLICE_FMT "' has the backend '" SLICE_FMT "' already",
                     SLICE_ARG(c->args[0]), SLICE_ARG(c->args[1]));
        return;
    default:
        admin_refuse(c->conn, 400,
                     "'" SLICE_FMT "' is no address: IP:PORT, [IPv6]:PORT or unix:PATH",
                     SLICE_ARG(c->args[1]));
    }
}

static void make(struct call *c, struct pool *p, struct change_order *order)
{
    const char *warning, *name = names[order->change];
    int error = changes_make(c->admin->changes, p, order, &warning);
    if (error) {
        refuse(c, error);
        return;
    }
    events_tell(c->admin->events, "change",
                json_pack("{s:o, s:o, s:s}", "pool", json_text(c->args[0]), "backend",
                          json_text(c->args[1]), "change", name));
    reply_json(c, 200, json_pack("{s:b, s:s*}", "ok", 1, "warning", warning));
}

static void change(struct call *c, enum change which)
{
    struct pool *p = find_pool(c);
    struct change_order order = {.change = which, .backend = c->args[1]};
    if (!p)
        return;
    if (which == CHANGE_WEIGHT && !take_number(c, "weight", 0, 1, WEIGHT_MAX, &order.weight))
        return;
    if (which == CHANGE_WEIGHT && !order.weight)
        admin_refuse(c->conn, 400,
                     "a weight is from 1 to %d (?weight=N); who is to get nothing is drained",
                     WEIGHT_MAX);
    else
        make(c, p, &order);
}

void answer_drain(struct call *c)
{
    change(c, CHANGE_DRAIN);
}

void answer_disable(struct call *c)
{
    change(c, CHANGE_DISABLE);
}

void answer_enable(struct call *c)
{
    change(c, CHANGE_ENABLE);
}

void answer_weight(struct call *c)
{
    change(c, CHANGE_WEIGHT);
}

void answer_remove(struct call *c)
{
    change(c, CHANGE_REMOVE);
}

void answer_add(struct call *c)
{
    static const char *const known[] = {"weight", "max-conns", "backup", NULL};
    struct pool *p = find_pool(c);
    struct change_order order = {.change = CHANGE_ADD, .backend = c->args[1]};
    uint32_t backup;
    if (!p || !takes_all(c, known) || !take_number(c, "weight", 0, 1, WEIGHT_MAX, &order.weight) ||
        !take_number(c, "max-conns", 0, 1, CONNS_MAX, &order.max_conns) ||
        !take_number(c, "backup", 0, 1, 1, &backup))
        return;
    order.is_backup = backup;
    make(c, p, &order);
}

void answer_restart(struct call *c)
{
    struct pool *p = find_pool(c);
    struct apps *apps = gateway_apps(c->admin->gateway);
    if (!p)
        return;
    if (!apps || !apps_restart(apps, c->args[0])) {
        admin_refuse(c->conn, 409, "pool '" SLICE_FMT "' has no processes of ours",
                     SLICE_ARG(c->args[0]));
        return;
    }
    events_tell(c->admin->events, "restart", json_pack("{s:o}", "pool", json_text(c->args[0])));
    reply_json(c, 202, json_pack("{s:b}", "ok", 1));
}
