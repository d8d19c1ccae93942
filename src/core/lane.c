/* SPDX-License-Identifier: MIT */
#include "core/lane.h"

#include <errno.h>

#include "core/carrier.h"
#include "net/tls.h"

void lane_set_conn(struct lane *l, struct conn *c)
{
    l->conn = c;
    l->carrier = NULL;
    l->state = c->codec_state;
    l->timer = &c->timer;
    l->outcome = &c->outcome;
    l->out = &c->out;
}

int lane_connect_result(const struct lane *l)
{
    int rc = conn_connect_result(l->conn);
    return rc == -EINPROGRESS && l->carrier && carrier_stands(l->carrier) ? 0 : rc;
}

/* A backend that stops reading may still have answered: the response side finds out. */
size_t lane_flush(struct lane *l)
{
    if (l->carrier)
        return carrier_flush(l);
    size_t before = l->out->bytes;
    if (!before)
        return 0;
    bool alive = stream_flush(&l->conn->stream, l->out);
    size_t sent = before - l->out->bytes;
    if (!alive)
        chain_clear(l->out);
    return sent;
}

bool lane_send_soon(struct lane *l)
{
    return !l->carrier && stream_send_soon(&l->conn->stream, l->out);
}

bool lane_is_flushed(const struct lane *l)
{
    return chain_is_empty(l->out) || (!l->carrier && l->conn->stream.outbox_place);
}

bool lane_is_unsent(const struct lane *l)
{
    return !l->carrier && l->conn && l->conn->stream.is_unsent;
}

void lane_finish(struct lane *l)
{
    if (!l->carrier)
        stream_finish(&l->conn->stream);
}

bool lane_is_sent(const struct lane *l)
{
    return l->out && l->carrier && l->shared.is_begun;
}

static struct buf *first_buf(const struct chain *c)
{
    return c->head ? c->head->buf : NULL;
}

struct slice lane_bytes(const struct lane *l, struct buf **hold)
{
    *hold = l->carrier ? first_buf(&l->shared.in) : l->conn->stream.in;
    if (!l->carrier)
        return stream_bytes(&l->conn->stream);
    return *hold ? slice_of(l->shared.in.head->p, l->shared.in.head->n) : SLICE_NONE;
}

void lane_consume(struct lane *l, size_t n)
{
    if (!l->carrier)
        stream_consume(&l->conn->stream, n);
    else if (n)
        carrier_consume(l, n);
}

bool lane_gather(struct lane *l, size_t n)
{
    struct chain *in = &l->shared.in;
    if (!l->out || !l->carrier || chain_is_empty(in))
        return false;
    if (n)
        return true;
    if (in->head == in->tail)
        return false;
    chain_gather(in, in->bytes < BUF_LARGE ? in->bytes : BUF_LARGE);
    return true;
}

ssize_t lane_fill(struct lane *l, enum lane_fill what)
{
    if (l->carrier)
        return carrier_fill(l);
    struct stream *s = &l->conn->stream;
    if (!s->readable)
        return -EAGAIN;
    switch (what) {
    case FILL_HEAD: return stream_fill_head(s);
    case FILL_BODY: return stream_fill(s);
    case FILL_DEEP: return stream_fill_deep(s);
    }
    return -EAGAIN;
}

const char *lane_why(const struct lane *l)
{
    return l->conn ? tls_why(&l->conn->stream) : "";
}

const char *lane_fault(const struct lane *l)
{
    return l->carrier ? carrier_fault(l->carrier) : NULL;
}

bool lane_is_leaving(const struct lane *l)
{
    return l->carrier && carrier_is_leaving(l->carrier);
}

bool lane_has_worked(const struct lane *l)
{
    return l->carrier && carrier_has_answered(l->carrier);
}

void lane_end(struct lane *l, bool is_reusable)
{
    struct conn *c = l->conn;
    bool is_flushed = chain_is_empty(l->out);
    l->conn = NULL;
    l->out = NULL;
    if (l->carrier)
        carrier_leave(l);
    else if (is_reusable && is_flushed)
        conn_give(c);
    else
        conn_close(c);
}
