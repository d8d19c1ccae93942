/* SPDX-License-Identifier: MIT */
#include "admin/connections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/endpoints.h"
#include "base/mem.h"
#include "core/client.h"

enum { LIMIT = 1000, LIMIT_MAX = 100000, WAIT_MS = 30000 };

/* One worker's part. */
struct part {
    struct post post; /* there, and back */
    struct gather *gather;
    struct worker *worker;
    uint32_t count, left_out;
    struct client_view *views;
};

struct gather {
    struct list node;
    struct admin *admin;
    struct admin_conn *conn; /* NULL: has gone */
    uint64_t limit;
    uint32_t missing, part_count;
    struct part parts[];
};

static void gather_free(struct gather *g)
{
    for (uint32_t i = 0; i < g->part_count; i++)
        free(g->parts[i].views);
    list_remove(&g->node);
    free(g);
}

/* ---- on the worker's thread ---- */

static void take_view(void *ctx, const struct client_view *view)
{
    struct part *p = ctx;
    if ((p->count & (p->count - 1)) == 0) /* 0 and powers of two: doubled */
        p->views = mem_grow(p->views, p->count ? p->count * 2 : 1, sizeof(*p->views));
    p->views[p->count++] = *view;
}

static void on_back(struct post *post);

static void on_asked(struct post *post)
{
    struct part *p = container_of(post, struct part, post);
    p->left_out = clients_view(p->worker, p->gather->limit, take_view, p);
    p->post.run = on_back;
    loop_post(p->worker->main_loop, &p->post);
}

/* ---- on the main thread ---- */

static json_t *text_or_null(const char *text)
{
    return *text ? json_text(slice_str(text)) : json_null();
}

static json_t *json_of(const struct client_view *v, uint32_t worker)
{
    char id[17];
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I}", "worker", (int)worker, "client", v->client, "state",
                  v->state, "age_ms", (json_int_t)v->age_ms, "requests", (json_int_t)v->requests);
    if (!v->id)
        return json;
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)v->id);
    json_object_set_new(
        json, "request",
        json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "id", id, "state",
                  v->exchange_state, "age_ms", (json_int_t)v->exchange_age_ms, "method",
                  text_or_null(v->method), "target", text_or_null(v->target), "pool",
                  text_or_null(v->pool), "backend", text_or_null(v->backend), "attempts",
                  (json_int_t)v->attempts, "received_bytes", (json_int_t)v->received_bytes,
                  "sent_bytes", (json_int_t)v->sent_bytes));
    return json;
}

static void answer(struct gather *g)
{
    json_t *list = json_array();
    json_int_t left_out = 0;
    for (uint32_t i = 0; i < g->part_count; i++) {
        left_out += g->parts[i].left_out;
        for (uint32_t k = 0; k < g->parts[i].count; k++)
            json_array_append_new(list, json_of(&g->parts[i].views[k], i));
    }
    struct call c = {.admin = g->admin, .conn = g->conn};
    reply_json(&c, 200, json_pack("{s:o, s:I}", "connections", list, "left_out", left_out));
}

static void on_back(struct post *post)
{
    struct gather *g = container_of(post, struct part, post)->gather;
    if (--g->missing)
        return;
    if (g->conn)
        answer(g);
    gather_free(g);
}

static void on_gone(void *owner)
{
    struct gather *g = owner;
    g->conn = NULL;
}

void answer_connections(struct call *c)
{
    uint32_t count;
    uint64_t limit = query_number(c, "limit", LIMIT);
    struct worker *workers = gateway_workers(c->admin->gateway, &count);
    if (limit == 0 || limit > LIMIT_MAX) {
        admin_refuse(c->conn, 400, "limit is a number from 1 to %d", LIMIT_MAX);
        return;
    }
    struct gather *g = mem_zalloc(sizeof(*g) + count * sizeof(g->parts[0]));
    g->admin = c->admin;
    g->conn = c->conn;
    g->limit = limit;
    g->missing = g->part_count = count;
    list_init(&g->node);
    list_append(&c->admin->gathers, &g->node);
    admin_request_wait(c->conn, g, on_gone, WAIT_MS);
    for (uint32_t i = 0; i < count; i++) {
        g->parts[i] = (struct part){.gather = g, .worker = &workers[i], .post = {.run = on_asked}};
        loop_post(&workers[i].loop, &g->parts[i].post);
    }
}

/* Their threads have ended, so what was posted to the workers' loops is run here. */
void gathers_end(struct admin *a)
{
    uint32_t count;
    struct worker *workers = gateway_workers(a->gateway, &count);
    if (list_is_empty(&a->gathers))
        return;
    for (uint32_t i = 0; i < count; i++)
        loop_drain(&workers[i].loop);
    loop_drain(gateway_loop(a->gateway));
}
