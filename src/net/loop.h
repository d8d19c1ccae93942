/* One event loop: epoll, timers, and work put off to the end of the turn. One per worker thread;
 * everything here is called by the thread that runs the loop, except loop_post().
 *
 * A turn: wait for events, call the handlers, send what they have put into the outbox, fire due
 * timers, run what was deferred, then what is large. Nobody frees an object while its
 * handlers may still be on the stack: loop_defer() does it at the end.
 *
 * A turn is to be short, as all that became ready meanwhile waits for it. So it handles few events,
 * as many as half of its time suffices for, and once it is long (loop_turn_is_long) what can wait
 * is left to the next one: posts, deadlines, what is deferred, and whoever asks between two pieces
 * of his work. Each turn does one piece of each kind at least.
 * SPDX-License-Identifier: MIT */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/hist.h"
#include "base/list.h"
#include "net/outbox.h"
#include "net/quantum.h"

struct loop;

/* Bytes of bufs kept for the next takers: at most, and for long. Who runs the loop gives back what
 * a burst has left, from time to time. */
enum { LOOP_BUFS_MAX = 16 << 20, LOOP_BUFS_KEEP = 4 << 20 };

/* Events have half of the time, as what they put into the outbox takes about as long again. What is
 * deferred has the rest, and always a quarter. What is large begins while half of it is left. */
enum {
    LOOP_LONG_US = 1000,
    LOOP_EVENTS_US = LOOP_LONG_US / 2,
    LOOP_DEFERRED_US = LOOP_LONG_US / 4
};
enum { LOOP_EVENTS_MAX = 64 };

/* What epoll knows: a descriptor and who handles it. Registered once, edge-triggered. */
struct watch {
    int fd;                                             /* -1: closed */
    void (*on_event)(struct watch *w, uint32_t events); /* EPOLLIN ... as epoll gives them */
};

/* A deadline. Moving it later is a store; it costs a heap operation only when it is moved earlier
 * or when the time it was set for first has come. */
struct timer {
    struct heap_node node;
    uint64_t due_ms; /* 0: not set */
    void (*on_due)(struct timer *t);
};

/* Work for the end of this turn, or of a later one if this is long. */
struct deferred {
    struct list node;
    void (*run)(struct deferred *d);
};

/* A message from another thread, run by the loop's own one. Lives until run() has been called. */
struct post {
    struct post *next;
    void (*run)(struct post *p);
    atomic_bool is_posted; /* and has not run yet */
};

/* Large reads, each for a receiver that takes all of it at once: see stream_fill_deep(). */
enum { DEEP_MIN = 128 * 1024, DEEP_US = 500 };
struct deep {
    struct quantum quantum; /* bytes, by the time until they have been passed on */
    uint64_t bytes;         /* read so far, in all */
    uint64_t begun_us;      /* the last of them */
};

struct loop {
    int epoll_fd;
    bool stopping;
    uint64_t now_ms; /* monotonic; taken once per turn */
    uint64_t now_us;
    uint64_t long_at_us; /* when this turn is long */
    struct heap timers;
    struct list deferred;
    struct list turn_end; /* a mark in the one of them that is being run */
    struct list large;    /* put off, too, each of which takes long */
    struct watch wake;    /* eventfd for loop_post() */
    _Atomic(struct post *) posts;
    struct post *arrived;                       /* taken from there, in order, to be run yet */
    bool has_run_posts;                         /* in this turn */
    struct epoll_event events[LOOP_EVENTS_MAX]; /* taken; a closed watch's have no data */
    int event_at, event_count; /* the next of them, and how many there are; -1: unknown */
    struct deep deep;
    struct hist turns;         /* how long they took, waiting aside */
    struct counter longest_us; /* of them */
    struct buf_pool bufs;
    struct outbox outbox;
    struct tls_loop *tls; /* what its encrypted streams share, see tls_stream.c; NULL: none yet */
};

int loop_init(struct loop *l); /* 0 or -errno */
void loop_fini(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop() */
void loop_stop(struct loop *l);

/* Registers w->fd; events as for epoll_ctl (EPOLLET is added unless EPOLLEXCLUSIVE is asked for). 0
 * or -errno. */
int loop_watch(struct loop *l, struct watch *w, uint32_t events);
/* Has epoll report once more what is ready. */
void loop_renew(struct loop *l, struct watch *w, uint32_t events);
/* Closes the descriptor, which also takes it out of epoll, and marks w closed: no event comes any
 * more. */
void loop_close(struct loop *l, struct watch *w);

/* Takes the open descriptor out of epoll, to be watched by another loop. */
void loop_unwatch(struct loop *l, struct watch *w);

void timer_init(struct timer *t, void (*on_due)(struct timer *t));
void timer_set_at(struct loop *l, struct timer *t, uint64_t due_ms);
static inline void timer_set(struct loop *l, struct timer *t, uint64_t in_ms)
{
    uint64_t due_ms = l->now_ms + in_ms;
    if (t->node.at && t->node.key <= due_ms)
        t->due_ms = due_ms;
    else
        timer_set_at(l, t, due_ms);
}
/* Unsets the deadline; the node may stay in the heap until its old time comes. */
static inline void timer_clear(struct timer *t)
{
    t->due_ms = 0;
}
/* Takes it out of the heap: to be called before its memory goes. */
void timer_fini(struct loop *l, struct timer *t);

static inline void deferred_init(struct deferred *d, void (*run)(struct deferred *d))
{
    list_init(&d->node);
    d->run = run;
}
/* Runs d at the end of this turn, or of one of the next; harmless if it is waiting already. */
void loop_defer(struct loop *l, struct deferred *d);
/* The same for a piece of work that takes half a millisecond by itself, or may: a turn does one,
 * and another only in its first half. Who is put off already stays where he is. */
void loop_defer_large(struct loop *l, struct deferred *d);

/* Runs what was posted to a loop that has stopped: what is left to be cleaned up. */
void loop_drain(struct loop *l);

/* From any thread: p->run(p) is called by the loop's thread. False: it is on its way already, and
 * sees what was written before this call. */
bool loop_post(struct loop *l, struct post *p);

/* The monotonic clock, read now, in microseconds: for measuring inside one turn. */
uint64_t loop_clock_us(void);
/* Whether what is being run (events, what is deferred, what is large) has had its time of this
 * turn: reads the clock. */
static inline bool loop_turn_is_long(const struct loop *l)
{
    return loop_clock_us() >= l->long_at_us;
}
/* Wall clock since the epoch. */
int64_t loop_wall_s(void);
int64_t loop_wall_us(void);

#endif
