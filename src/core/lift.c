/* SPDX-License-Identifier: MIT */
#include "core/lift.h"

#include <errno.h>

#include "core/exchange.h"
#include "core/worker.h"
#include "net/chain_file.h"

void lift_begin(struct exchange *x)
{
    if (!x->front->is_shared || x->coder)
        return;
    chain_each (link, &x->resp_body)
        x->lifts |= link->kind == LINK_FILE;
    if (x->lifts)
        x->outgoing = &x->coded;
}

static bool read_piece(struct exchange *x)
{
    struct buf *b = buf_take(x->coded.pool, BUF_MEDIUM);
    ssize_t n = chain_file_read(&x->resp_body, b->data, BUF_MEDIUM);
    if (n > 0)
        chain_put(&x->coded, b, slice_of(b->data, (size_t)n));
    buf_unref(b);
    if (n <= 0)
        exchange_fail(x, 500,
                      n == -EIO ? "a file became shorter while it was being sent"
                                : "a file cannot be read",
                      NULL);
    return true;
}

bool lift_run(struct exchange *x)
{
    bool moved = false;
    if (!x->lifts)
        return false;
    const struct link *link = x->resp_body.head;
    /* A piece at a time, so that a stream that is not read holds little. */
    if (link && chain_is_empty(&x->coded))
        moved = link->kind == LINK_FILE ? read_piece(x)
                                        : chain_move(&x->coded, &x->resp_body, link->n) > 0;
    if (x->response == MSG_COMPLETE && chain_is_empty(&x->resp_body)) {
        x->lifts = false;
        moved = true; /* the end is known now */
    }
    return moved;
}
