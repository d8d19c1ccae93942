/* A pool at run time: its backends, who is picked next, and who waits. Shared by all workers.
 *
 * A slot is leave to have one connection to a backend in use. There are as many as the limits allow
 * (max-conns of the backend and of the pool), counted for the whole gateway: `open` never passes
 * the limit at any moment. Who finds no slot waits here (queue.h), not in the backend's accept
 * queue. A slot that becomes free goes to exactly one waiter, together with its connection if that
 * can be used again; nobody overtakes a waiter.
 *
 * One small lock guards all of it. It is held for a pick or a hand-over alone, never across a
 * system call: what is to be logged or posted is noted under it and done behind it. Idle
 * connections stay with the worker that opened them; when the pool is at its limit and another
 * worker has waiters, it is asked to hand one over.
 *
 * Workers pick, wait and give back (this file). The main thread, and only it, changes who belongs
 * to the pool (members.h), probes them, and looks at it (view.h).
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "pool/balance.h"
#include "pool/pool_conf.h"
#include "pool/queue.h"
#include "pool/tally.h"
#include "pool/wish.h"

struct conn;
struct waiter;

/* A worker as the pool knows it: where to send it messages. */
struct pool_worker {
    struct pool *pool;
    struct loop *loop;
    struct post tidy; /* "hand over idle connections to who waits, close those of no use" */
    bool tidy_posted; /* under the lock */
    struct list node; /* of those about to be posted to */
};

/* A change of state, to be logged once the lock is released. */
struct pool_change {
    struct backend *backend; /* a reference */
    enum backend_state from, to;
    const char *why;
};

enum { POOL_CHANGES_MAX = 8 };

struct pool {
    const struct pool_conf *_Atomic conf; /* replaced by pool_set_conf */
    struct tls_client *tls;               /* NULL: plain; replaced by pool_set_tls */
    const struct balancer *balancer;
    struct pool_worker *workers;
    uint32_t worker_count;
    atomic_bool is_retired; /* no configuration has it any more: nothing is kept */
    struct tally *tally;    /* by worker: what became of its requests */

    /* What each request writes fills one cache line, with what it reads under the lock. */
    _Alignas(64) pthread_spinlock_t lock;
    uint32_t count;
    struct backend **backends;
    uint32_t max_open, open; /* over all backends */
    uint32_t idle;           /* of the open ones, nobody's */
    int32_t lanes;           /* free on shared ones, less those promised */
    uint32_t retry_tokens;   /* hundredths of retries there is budget for */
    uint32_t hedge_tokens;   /* the same for second backends asked at once */
    /* Sums over the backends' states, made anew whenever one changes. */
    uint32_t tiers;    /* how many different ones there are */
    uint32_t tier;     /* the lowest with a backend that may be picked */
    uint32_t states;   /* that may be picked, a bit for each */
    bool has_news;     /* something below waits for the lock to be released */
    uint64_t trial_us; /* the first backend that is down may be tried; UINT64_MAX: none is */

    _Alignas(64) struct queue queue;
    uint32_t up;       /* backends in UP */
    bool is_recounted; /* the sums have been, since waiters were looked at */
    bool tidy_wanted;
    struct pool_change changes[POOL_CHANGES_MAX];
    uint32_t change_count;
    uint64_t random;
    atomic_bool is_grown; /* somebody starts and stops what the backends are */
    struct post grow;
    void (*on_wait)(void *ctx); /* main thread */
    void *on_wait_ctx;
    struct list granted; /* waiters to be told */
    struct list gone;    /* backends that have left with connections open; a reference each */

    struct wishes wishes;         /* the operator's, main thread */
    void (*on_change)(void *ctx); /* main thread: other backends than before */
    void *on_change_ctx;

    atomic_uint holds; /* connections, waiters and posts there are, and one of the pool's owner */
    struct loop *home; /* the main thread's */
    struct post left;
    void (*on_gone)(struct pool *p); /* by home, once there are no holds */
};
_Static_assert(offsetof(struct pool, queue) - offsetof(struct pool, lock) == 64,
               "what each request writes of a pool is one cache line");

/* workers: of the gateway; pool_set_loop tells where each runs, before any request. */
void pool_init(struct pool *p, const struct pool_conf *conf, uint32_t workers);
void pool_set_loop(struct pool *p, uint32_t worker, struct loop *loop);
/* How new connections are encrypted; one reference, taken over. NULL: not at all. Main thread. */
void pool_set_tls(struct pool *p, struct tls_client *tls);
/* A reference for a new connection; NULL: it is plain. */
struct tls_client *pool_tls(struct pool *p);
/* No exchange and no connection is there any more. */
void pool_fini(struct pool *p);

/* No configuration has the pool any more: this worker's idle connections are closed, some in each
 * turn of its loop, and none is kept from now on. Requests under way end in their own time. */
void pool_retire(struct pool *p, uint32_t worker);

/* The last request has ended. What it has left behind may not have: a connection that is to be
 * closed at the end of a turn, a slot on its way to who has gone. When nothing is there any more
 * gone() is called, at once or by the loop of home; it may call pool_fini(). Main thread. */
void pool_abandon(struct pool *p, struct loop *home, void (*gone)(struct pool *p));
/* For who may need the pool longer than the request that he was made for. */
static inline void pool_hold(struct pool *p)
{
    atomic_fetch_add_explicit(&p->holds, 1, memory_order_relaxed);
}
void pool_unhold(struct pool *p);

/* ---- slots ---- */

/* What a request wants. Lives in its exchange, also while that waits. */
struct demand {
    struct tried tried;
    uint64_t key;       /* for balancers that hash */
    uint64_t stick;     /* the backend its cookie names (backend.stick); 0: none */
    struct slice named; /* the very backend, by its text; empty: any */
    uint64_t client;    /* a hash of who asks: clients take turns in the queue */
    enum queue_class class;
    bool is_safe;  /* may be tried again elsewhere: good for finding out about a backend */
    bool is_again; /* had a slot before: is not put behind those who wait */
    bool is_retry; /* counts against the retry budget */
};

/* What an attempt has shown of its backend. */
enum verdict {
    VERDICT_NONE,  /* nothing: the client left, or the connection was stale */
    VERDICT_OK,    /* it answered */
    VERDICT_ERROR, /* with a status of its own failure (5xx) */
    VERDICT_FAIL,  /* it did not: no connection, no answer in time, none that is one */
};

struct pool_outcome {
    enum verdict verdict;
    uint32_t latency_us; /* to the response head; 0: none */
    uint64_t begun_us;
};

enum pick {
    PICK_IDLE,   /* *backend, whose idle list of this worker holds a connection for the caller */
    PICK_LANE,   /* *backend, a shared connection of which has a lane for the caller */
    PICK_DIAL,   /* *backend, with leave to open a connection */
    PICK_WAIT,   /* no slot is free: see pool_wait() */
    PICK_NONE,   /* every backend has been tried, or there is none */
    PICK_DOWN,   /* every backend is down, and `all-down refuse` is configured */
    PICK_BUDGET, /* a retry, and the pool has had too many of them */
};

/* Picks a backend that has not been tried and takes a slot of it, with a reference on the backend;
 * PICK_IDLE has none, as the connection has one: most requests write no counter for it. */
enum pick pool_pick(struct pool *p, uint32_t worker, const struct demand *demand,
                    struct backend **backend);

/* The same for a second backend beside the one that is being asked, which counts as tried: out of
 * the budget for it, and nobody waits. PICK_IDLE, PICK_DIAL or PICK_NONE. */
enum pick pool_hedge(struct pool *p, uint32_t worker, const struct demand *demand,
                     struct backend **backend);

/* Leave to connect to another address of the name that `of` is an address of, of the other family
 * if there is one: while connecting to `of` takes long. Nobody waits. PICK_DIAL or PICK_NONE. */
enum pick pool_race(struct pool *p, uint32_t worker, const struct tried *tried,
                    const struct backend *of, struct backend **backend);

/* Whether the backend is none of the pool's any more. */
bool pool_has_left(struct pool *p, const struct backend *b);

/* Gives a slot back: the connection is closed, or was never made. Wakes a waiter, if any. */
void pool_release(struct pool *p, struct backend *b, uint32_t worker,
                  const struct pool_outcome *outcome);

enum park {
    PARK_KEEP,   /* the caller puts the connection on the idle list of this worker */
    PARK_HANDED, /* it has been given to a waiter and is no longer the caller's */
    PARK_CLOSE,  /* it is of no use: the caller closes it, with its slot */
};
/* Gives a slot back with its connection. */
enum park pool_park(struct pool *p, struct conn *c);
/* An idle connection is about to be closed. */
void pool_unpark(struct pool *p, struct backend *b, uint32_t worker);

/* ---- connections that are shared ----
 *
 * One holds a slot like any other; its requests are counted one by one. */

/* This worker's connection is one from here on, until it is parked or closed. */
void pool_open_shared(struct pool *p, struct backend *b, uint32_t worker);
/* There are so many free lanes more, or fewer, on this worker's connections to the backend. */
void pool_offer(struct pool *p, struct backend *b, uint32_t worker, int32_t lanes);
/* A request has left its lane; the number of free ones changes with it. */
void pool_leave(struct pool *p, struct backend *b, uint32_t worker,
                const struct pool_outcome *outcome, int32_t lanes);
/* The connection is closed; its requests and lanes have been seen to. */
void pool_close_shared(struct pool *p, struct backend *b, uint32_t worker);

/* ---- waiting ---- */

enum grant {
    GRANT_SLOT,     /* a slot and a reference on the backend, maybe with its connection */
    GRANT_LANE,     /* a reference on a backend, a shared connection of which has a lane */
    GRANT_NONE,     /* no backend is left that may be picked: pool_pick() says why */
    GRANT_OVERLOAD, /* refused, so that others have a chance */
};

typedef void grant_fn(void *owner, enum grant grant, struct backend *b, struct conn *c);

/* Somebody who waits for a slot. Allocated, for a slot may be on its way to him when he goes. */
struct waiter {
    struct queue_entry entry;
    struct pool *pool;
    uint32_t worker;
    const struct demand *demand; /* the exchange's, while it waits */
    void *owner;                 /* NULL: has gone */
    grant_fn *granted;
    enum grant grant;
    struct backend *backend;
    struct conn *conn;
    struct post post;
    struct deferred hand_over;
};

/* Queues for a slot. granted() is called once, by the worker's own loop and never from inside
 * another call of this module. NULL: the queue is full. */
struct waiter *pool_wait(struct pool *p, uint32_t worker, const struct demand *demand, void *owner,
                         grant_fn *granted);
/* The owner waits no longer; granted() will not be called. */
void pool_unwait(struct waiter *w);

/* When a request that was refused may come again, in seconds: for Retry-After. */
uint32_t pool_retry_after_s(struct pool *p);

#endif
