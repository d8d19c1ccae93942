/* Small messages that were put together during the events of a turn leave behind them, one after
 * the other: what sends in the kernel and what parses here would else push each other out of the
 * processor's caches, once for each message.
 *
 * A stream whose chain is in the outbox counts as flushed: nobody waits for it. What could not be
 * sent after all is told as readiness is, by on_ready().
 * SPDX-License-Identifier: MIT */
#ifndef NET_OUTBOX_H
#define NET_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

struct chain;
struct stream;

enum { OUTBOX_MAX = 64, OUTBOX_BYTES = 4096 /* of one: more is cold by then */ };

struct outbox {
    struct {
        struct stream *stream; /* NULL: has left */
        struct chain *out;
    } v[OUTBOX_MAX];
    uint8_t n;
    bool is_open; /* events are being handled: what is put in goes out soon */
};

/* Sends what is in it now, so that it does not wait for somebody's long work. What does not go
 * stays in it. */
void outbox_send(struct outbox *o);
/* At the end of the events: sends, and has who could not be served go on. */
void outbox_end(struct outbox *o);

/* Puts the chain in, to be sent soon; it stays the caller's, who leaves it there and may add to it.
 * False: it cannot wait, has waited enough, or names memory that it does not keep alive
 * (chain_put_static()); then it is to be flushed. */
bool stream_send_soon(struct stream *s, struct chain *out);
/* Takes it out again unsent: the caller sees to it, or it is not wanted. */
void stream_leave_outbox(struct stream *s);

#endif
