/* SPDX-License-Identifier: MIT */
#include "net/outbox.h"

#include "base/chain.h"
#include "net/loop.h"
#include "net/stream.h"

/* What is not counted may be gone as soon as its owner has nothing more to send. */
static bool is_counted(const struct chain *c)
{
    chain_each (l, c)
        if (l->kind == LINK_MEM && !l->buf)
            return false;
    return true;
}

bool stream_send_soon(struct stream *s, struct chain *out)
{
    struct outbox *o = &s->loop->outbox;
    if (out->bytes > OUTBOX_BYTES || out->head->kind != LINK_MEM || !s->writable || s->error ||
        s->state || s->lead.n || !is_counted(out))
        return false;
    if (s->outbox_place)
        return true;
    if (!o->is_open || o->n == OUTBOX_MAX)
        return false;
    o->v[o->n].stream = s;
    o->v[o->n].out = out;
    s->outbox_place = ++o->n;
    return true;
}

void stream_leave_outbox(struct stream *s)
{
    if (!s->outbox_place)
        return;
    s->loop->outbox.v[s->outbox_place - 1].stream = NULL;
    s->outbox_place = 0;
}

/* One that sends nothing at all says so, for then it can be sent by another stream. */
static void send_one(struct stream *s, struct chain *out)
{
    size_t before = out->bytes;
    s->is_unsent = !stream_write(s, out, SIZE_MAX) && out->bytes == before;
    if (chain_is_empty(out))
        stream_leave_outbox(s);
}

void outbox_send(struct outbox *o)
{
    for (unsigned i = 0; i < o->n; i++)
        if (o->v[i].stream && !o->v[i].stream->error)
            send_one(o->v[i].stream, o->v[i].out);
}

void outbox_end(struct outbox *o)
{
    for (unsigned i = 0; i < o->n; i++) { /* who goes on may put more in */
        struct stream *s = o->v[i].stream;
        if (!s)
            continue;
        if (!s->error)
            send_one(s, o->v[i].out);
        if (!s->outbox_place)
            continue;
        stream_leave_outbox(s);
        s->on_ready(s);
    }
    o->n = 0;
    o->is_open = false;
}
