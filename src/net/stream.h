/* A byte stream to a peer: a connected socket beneath a transport (plain, or TLS), or two pipes.
 *
 * Edge-triggered and registered once: a stream remembers whether it may be readable or writable;
 * reads and writes clear that when the kernel has no more, and the next edge sets it again. A
 * short read means "drained", which saves the read that would say EAGAIN.
 *
 * Everything above (client, attempt) sees only this interface; a transport that encrypts takes the
 * place of the plain one by its vtable.
 * SPDX-License-Identifier: MIT */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/chain.h"
#include "net/loop.h"

struct stream;

struct transport {
    const char *name;
    /* Bytes read, after which s->readable says whether there may be more; 0: end of stream;
     * -EAGAIN; -errno. */
    ssize_t (*read)(struct stream *s, char *p, size_t n);
    /* Sends from the front of out and drops what was sent. Bytes sent; -EAGAIN; -errno. */
    ssize_t (*write)(struct stream *s, struct chain *out);
    /* Moves up to n bytes from the socket into a pipe; NULL where the transport cannot. */
    ssize_t (*splice)(struct stream *s, int pipe_fd, size_t n);
    /* No more will be written (FIN, close_notify). */
    void (*finish)(struct stream *s);

    /* What a transport with a state of its own needs besides; NULL for the plain one. */

    /* The socket is ready. False: this is nobody else's business (a handshake goes on). */
    bool (*on_event)(struct stream *s);
    /* Nothing that the peer sent waits to be read. */
    bool (*is_quiet)(struct stream *s);
    /* Neither sent nor received bytes are held: the stream can go on in another loop. */
    bool (*is_clear)(const struct stream *s);
    /* Before the socket is closed: a last word, and the state's memory. */
    void (*close)(struct stream *s, bool hard);
};

extern const struct transport transport_plain;
/* What its write does, but leaves in the chain what was sent. */
ssize_t transport_plain_send(struct stream *s, const struct chain *out);

struct stream {
    struct watch watch;
    const struct transport *transport;
    union {
        void *state;           /* the transport's own; NULL: plain */
        struct tls *tls;       /* of one that encrypts, see tls.h */
        struct duplex *duplex; /* of one over two pipes, see duplex.h */
    };
    struct loop *loop;
    void (*on_ready)(struct stream *s); /* after `readable` or `writable` became true */
    struct buf *in; /* bytes read and not yet consumed; NULL while there are none */
    uint32_t in_at; /* of the first one in in->data */
    bool readable, writable;
    bool filled : 1;      /* the last read got all it had room for */
    bool spliced : 1;     /* of the newest message: some of it went into a pipe */
    bool is_ending : 1;   /* nothing follows what is in the chain: a last word can go with it */
    bool finished : 1;    /* stream_finish() was called */
    bool is_unsent : 1;   /* it has failed before anything of what was in the outbox was sent */
    bool hup;             /* the peer sent FIN or reset: read to find out */
    bool reset;           /* the connection is broken both ways (RST) */
    bool eof;             /* all it sent has been read */
    uint8_t outbox_place; /* from 1; 0: nothing of it is there */
    int error;            /* -errno of the first failure; 0 */
    struct slice lead;    /* goes out before all else; see stream_lead() */
};

/* fd is connected or connecting, non-blocking; owned from here on. 0 or -errno (fd then closed). */
int stream_open(struct stream *s, struct loop *loop, int fd, void (*on_ready)(struct stream *s));
/* Goes on in another loop, whose thread calls this; the old one has unwatched it, and nothing is
 * buffered. 0 or -errno. */
int stream_move(struct stream *s, struct loop *loop);
/* Whether it can be moved. */
bool stream_is_clear(const struct stream *s);
/* Closes at once. hard: with RST, so that the peer sees the break. Harmless when closed. */
void stream_close(struct stream *s, bool hard);

/* Reads what is there (up to BUF_LARGE) behind what s->in holds. Answers bytes read, 0 at end of
 * stream, -EAGAIN, or -errno (also kept in s->error). */
ssize_t stream_fill(struct stream *s);
/* The same for the beginning of a message: little where the body before it went into a pipe, for
 * what is read of this one's is copied. */
ssize_t stream_fill_head(struct stream *s);
/* The same for a body whose receiver keeps up: if the last read filled its buf, up to BUF_HUGE, or
 * what can be read and passed on in half a millisecond. */
ssize_t stream_fill_deep(struct stream *s);
/* What was read by that since there were bytes of loop->deep has been passed on: how long it took
 * says how large the next may be. */
void stream_passed_deep(struct loop *l, uint64_t bytes);
/* Before anything is read: looks at what has come without taking it, and takes n bytes of it that
 * have been looked at. As stream_fill() answers. For what comes before encryption. */
ssize_t stream_peek(struct stream *s, char *p, size_t n);
void stream_skip(struct stream *s, size_t n);
/* The handlers are called as if an event had come: somebody else has dealt with the newest. */
void stream_wake(struct stream *s);
/* What is ready now is told once more, in the next turn: this one has done enough for it. */
void stream_again(struct stream *s);
/* A stream that is connecting sends this first of all, as it is, whatever the transport does later.
 * It is the caller's memory, and small. */
void stream_lead(struct stream *s, struct slice lead);

/* What has been read and not consumed. */
static inline struct slice stream_bytes(const struct stream *s)
{
    return s->in ? slice_of(s->in->data + s->in_at, s->in->used - s->in_at) : SLICE_NONE;
}
/* n bytes of stream_bytes() have been used; what refers to them holds its own reference. With the
 * last one the buf goes back. */
void stream_consume(struct stream *s, size_t n);
/* At the end of a turn: leftovers move to a buf of their size, so that a slow peer does not pin a
 * large one. Slices into stream_bytes() are stale afterwards. */
void stream_settle(struct stream *s);

/* Sends what it can of out. Answers false on a dead stream (s->error says why). */
bool stream_flush(struct stream *s, struct chain *out);
/* The same, but about max bytes at most: a fast receiver would take a large file all at once. */
bool stream_flush_part(struct stream *s, struct chain *out, size_t max);
/* The same, whatever waits in the outbox: for outbox.c. */
bool stream_write(struct stream *s, struct chain *out, size_t max);

/* Moves up to n body bytes from the socket into a pipe, past user space. As stream_fill answers;
 * only when nothing waits in stream_bytes() and the transport can splice. */
ssize_t stream_splice(struct stream *s, int pipe_fd, size_t n);

/* No more will be written: FIN, once. What was written before still arrives. */
void stream_finish(struct stream *s);

/* Connect to an address. *fd: non-blocking and connecting or connected. 0 or -errno. writes_once:
 * all that will be sent goes out in one write, so that nothing small follows what is on its way. */
struct sockaddr;
int stream_dial(const struct sockaddr *addr, unsigned addr_len, bool writes_once, int *fd);
/* For one that was: more writes come after all. */
void stream_no_delay(int fd);
/* The outcome of a connect once the stream is writable: 0 or -errno. */
int stream_dial_result(const struct stream *s);

/* Whether an idle connection may be used again: no byte, no FIN, no error waiting (RFC 9112 9.3.1:
 * what a backend sends unasked belongs to nobody). Costs a system call only when in doubt. */
bool stream_is_quiet(struct stream *s);

#endif
