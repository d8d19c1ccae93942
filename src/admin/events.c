/* SPDX-License-Identifier: MIT */
#include "admin/events.h"

#include <stdlib.h>
#include <string.h>

#include "admin/endpoints.h"
#include "base/mem.h"
#include "pool/view.h"

enum { LOOK_MS = 500 };

struct listener_of_events {
    struct list node;
    struct admin_conn *conn;
};

/* A backend as it was when last looked at. */
struct seen {
    char *pool, *address;
    const char *state;
    bool is_there;
};

struct events {
    struct gateway *gateway;
    struct list listeners;
    struct timer look;
    struct seen *seen;
    uint32_t seen_count;
};

/* ---- telling ---- */

void events_tell(struct events *e, const char *event, json_t *data)
{
    char *json = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    size_t room = strlen(event) + (json ? strlen(json) : 0) + 32;
    char *text = mem_alloc(room);
    struct text t = text_of(text, room);
    text_lit(&t, "event: ");
    text_put(&t, slice_str(event));
    text_lit(&t, "\ndata: ");
    text_put(&t, slice_str(json));
    text_lit(&t, "\n\n");
    list_each_safe (node, &e->listeners)
        admin_conn_push(container_of(node, struct listener_of_events, node)->conn, text_slice(&t));
    free(text);
    free(json);
}

void events_tell_reload(struct events *e)
{
    events_tell(e, "reload",
                json_pack("{s:i}", "generation", (int)gateway_generation(e->gateway)->number));
}

/* ---- looking ---- */

static struct seen *find_seen(struct events *e, const char *pool, const char *address)
{
    for (uint32_t i = 0; i < e->seen_count; i++)
        if (strcmp(e->seen[i].address, address) == 0 && strcmp(e->seen[i].pool, pool) == 0)
            return &e->seen[i];
    return NULL;
}

static void tell_backend(struct events *e, const struct seen *s, const char *from, const char *to)
{
    events_tell(e, "backend",
                json_pack("{s:o, s:o, s:s?, s:s?}", "pool", json_text(slice_str(s->pool)),
                          "backend", json_text(slice_str(s->address)), "from", from, "to", to));
}

static void look_at_backend(struct events *e, const char *pool, const struct backend_view *b,
                            bool is_first)
{
    struct seen *s = find_seen(e, pool, b->address);
    const char *before = s ? s->state : NULL;
    if (!s) {
        e->seen = mem_grow(e->seen, e->seen_count + 1, sizeof(*e->seen));
        s = &e->seen[e->seen_count++];
        *s = (struct seen){.pool = mem_dup(pool, strlen(pool)),
                           .address = mem_dup(b->address, strlen(b->address))};
    }
    s->state = b->state;
    s->is_there = true;
    if (!is_first && (!before || strcmp(before, s->state) != 0))
        tell_backend(e, s, before, s->state);
}

static void forget(struct seen *s)
{
    free(s->pool);
    free(s->address);
}

static void forget_those_gone(struct events *e)
{
    for (uint32_t i = 0; i < e->seen_count;) {
        struct seen s = e->seen[i];
        if (s.is_there) {
            i++;
            continue;
        }
        e->seen[i] = e->seen[--e->seen_count];
        tell_backend(e, &s, s.state, NULL);
        forget(&s);
    }
}

static void look(struct events *e, bool is_first)
{
    const struct generation *g = gateway_generation(e->gateway);
    for (uint32_t i = 0; i < e->seen_count; i++)
        e->seen[i].is_there = false;
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++) {
        struct pool_view *v = pool_view_new(&g->pools[i]->pool);
        char *name = mem_dup(v->name.p, v->name.n);
        for (uint32_t k = 0; k < v->count; k++)
            look_at_backend(e, name, &v->backends[k], is_first);
        free(name);
        pool_view_free(v);
    }
    forget_those_gone(e);
}

static void forget_all(struct events *e)
{
    for (uint32_t i = 0; i < e->seen_count; i++)
        forget(&e->seen[i]);
    e->seen_count = 0;
}

static void on_look(struct timer *t)
{
    struct events *e = container_of(t, struct events, look);
    if (list_is_empty(&e->listeners)) {
        forget_all(e);
        return;
    }
    look(e, false);
    timer_set(gateway_loop(e->gateway), t, LOOK_MS);
}

/* ---- who listens ---- */

static void on_gone(void *owner)
{
    struct listener_of_events *l = owner;
    list_remove(&l->node);
    free(l);
}

void answer_events(struct call *c)
{
    struct events *e = c->admin->events;
    struct listener_of_events *l = mem_zalloc(sizeof(*l));
    if (list_is_empty(&e->listeners)) {
        forget_all(e);
        look(e, true);
        timer_set(gateway_loop(e->gateway), &e->look, LOOK_MS);
    }
    l->conn = c->conn;
    list_init(&l->node);
    list_append(&e->listeners, &l->node);
    admin_request_stream(c->conn, l, on_gone);
    admin_conn_push(c->conn, SLICE(": what changes from here on\n\n"));
}

struct events *events_new(struct gateway *g)
{
    struct events *e = mem_zalloc(sizeof(*e));
    e->gateway = g;
    list_init(&e->listeners);
    timer_init(&e->look, on_look);
    return e;
}

void events_free(struct events *e)
{
    timer_fini(gateway_loop(e->gateway), &e->look);
    forget_all(e);
    free(e->seen);
    free(e);
}
