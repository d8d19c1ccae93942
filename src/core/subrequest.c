/* SPDX-License-Identifier: MIT */
#include "core/subrequest.h"

#include "core/route.h"
#include "core/worker.h"

/* ---- the front with nobody before it ---- */

static bool front_take(struct exchange *x)
{
    (void)x;
    return false; /* there is no body */
}

static void front_put_interim(struct exchange *x, const struct response_head *head)
{
    (void)x, (void)head;
}

static void front_put_head(struct exchange *x)
{
    (void)x; /* it stays in x->resp */
}

static bool front_send(struct exchange *x)
{
    struct subrequest *s = x->client;
    if (x->outgoing->bytes > chain_room(&s->body)) {
        exchange_abort(x, "the answer to a request of our own is too large (limit window)");
        return true;
    }
    bool moved = chain_move(&s->body, x->outgoing, SIZE_MAX) > 0;
    if (exchange_is_whole(x) && x->response == MSG_COMPLETE) {
        x->response = MSG_PASSED;
        moved = true;
    }
    return moved;
}

static bool front_is_flushed(const struct exchange *x)
{
    (void)x;
    return true;
}

static uint64_t front_plain_left(const struct exchange *x)
{
    (void)x;
    return 0;
}

static bool front_is_plain_out(const struct exchange *x)
{
    (void)x;
    return false; /* what is collected is to be had in memory */
}

static void front_set_deadline(struct exchange *x, enum wait wait)
{
    (void)x, (void)wait;
}

static socklen_t front_local(const struct exchange *x, struct sockaddr_storage *sa)
{
    const struct subrequest *s = x->client;
    return s->parent ? s->parent->front->local(s->parent, sa) : 0;
}

static void keep_fields(struct subrequest *s, const struct fields *fields)
{
    struct arena *a = &s->parent->arena;
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        if (!f->dropped)
            fields_add(&s->fields, a, f->id, arena_dup(a, f->name), arena_dup(a, f->value));
    }
}

static void front_done(struct exchange *x, bool broken)
{
    struct subrequest *s = x->client;
    s->exchange = NULL;
    s->failed = broken;
    s->status = x->resp.status;
    if (s->parent && !broken)
        keep_fields(s, &x->resp.fields);
    exchange_free(x);
    if (s->parent)
        loop_defer(&s->parent->worker->loop, &s->parent->again);
}

static const struct front nobody = {
    .take = front_take,
    .put_interim = front_put_interim,
    .put_head = front_put_head,
    .send = front_send,
    .is_flushed = front_is_flushed,
    .plain_left = front_plain_left,
    .is_plain_out = front_is_plain_out,
    .set_deadline = front_set_deadline,
    .local = front_local,
    .done = front_done,
};

/* ---- the request ---- */

/* There is no body, the answer is for us, and it is to be a whole one. */
static bool is_left_out(enum field_id id)
{
    switch (id) {
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_ENCODING:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_TRAILER:
    case FIELD_TE:
    case FIELD_EXPECT:
    case FIELD_UPGRADE:
    case FIELD_ACCEPT_ENCODING:
    case FIELD_RANGE:
    case FIELD_IF_RANGE:
    case FIELD_IF_MATCH:
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
    case FIELD_IF_UNMODIFIED_SINCE: return true;
    default: return false;
    }
}

static void copy_request(struct exchange *x, const struct exchange *parent)
{
    const struct fields *from = &parent->req.fields;
    x->req = parent->req;
    x->req.fields = (struct fields){0};
    for (unsigned i = 0; i < from->n; i++) {
        const struct field *f = &from->v[i];
        if (!f->dropped && !is_left_out((enum field_id)f->id))
            fields_add(&x->req.fields, &x->arena, f->id, f->name, f->value);
    }
    x->field_count = x->req.fields.n; /* what is added is ours */
    x->req_framing = (struct framing){.kind = BODY_NONE};
    x->request = MSG_COMPLETE;
}

struct subrequest *subrequest_new(struct exchange *parent, const struct route_conf *route)
{
    struct subrequest *s = arena_zalloc(&parent->arena, sizeof(*s));
    struct exchange *x = exchange_new(parent->worker);
    *s = (struct subrequest){.parent = parent, .exchange = x};
    chain_init(&s->body, parent->resp_body.pool, parent->worker->snapshot->gateway.window);
    x->id = parent->id;
    x->front = &nobody;
    x->client = s;
    x->is_own = true;
    x->start_us = x->read_us = parent->worker->loop.now_us;
    x->peer = parent->peer;
    x->peer_text = parent->peer_text;
    x->asker = parent->asker;
    x->asker_text = parent->asker_text;
    x->https = parent->https;
    x->tls_peer = parent->tls_peer;
    x->path = x->matched = parent->path;
    x->route = route;
    x->serve = &route->serve;
    copy_request(x, parent);
    return s;
}

void subrequest_start(struct subrequest *s)
{
    struct exchange *x = s->exchange;
    exchange_enter(x, EX_ACT, "request of our own");
    exchange_run(x);
}

void subrequest_drop(struct subrequest *s)
{
    struct exchange *x = s->exchange;
    s->parent = NULL;
    if (x) {
        exchange_abort(x, "a request of our own is not wanted any more");
        exchange_run(x);
    }
    chain_clear(&s->body);
}
