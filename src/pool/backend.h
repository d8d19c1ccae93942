/* A backend: one socket address of a pool, its state, its idle connections and its numbers.
 *
 * Counted, because an exchange or a connection may still use one that has left its pool. The count
 * is atomic; what names it never changes; everything else is guarded by the pool's lock, but for
 * the lists of idle connections: each is touched by its own worker alone.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_BACKEND_H
#define POOL_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/slice.h"
#include "net/tls.h"
#include "pool/adapt.h"

struct backend_conf;
struct tally;

enum backend_state {
#define STATE(id, name) BACKEND_##id,
#include "pool/backend_states.def"
#undef STATE
    BACKEND_STATES
};

enum {
    BACKEND_TEXT_MAX = 120,
    BACKEND_HOST_MAX = 264,
    BACKEND_NO_SLOT = -1, /* no process of ours */
    BACKEND_SHARE = 256,  /* of a weight of 1 */
    BACKEND_LAST = INT32_MAX,
    BACKEND_TIER_BACKUP = 1 << 16, /* behind all priorities of SRV records */
};

/* The idle connections of one worker to one backend; on a cache line of its own. */
struct idle {
    _Alignas(64) struct list conns; /* most recently used first */
    uint32_t count;                 /* of them, less those promised; under the pool's lock */
    int32_t lanes;                  /* free on shared ones, less those promised; the same */
    uint32_t sharing;               /* shared connections; the same */
    uint32_t uses;                  /* requests that hold a reference together; no lock */
    struct list shared;             /* those of them that take more requests */
};

/* What requests, and probes, have shown of a backend. */
struct health {
    uint64_t since_us;   /* the state was entered */
    uint64_t retry_us;   /* DOWN: not asked again before */
    uint32_t backoff_ms; /* how long the newest pause was */
    uint32_t fails;      /* in a row */
    uint64_t fail_us;    /* the first of them */
    bool wants_slot;     /* a probe does, and all are taken */
    bool is_probed;      /* probes run: they bring it back, not a trial */
    bool probe_ok;       /* what they say */
    const char *why;     /* it is in its state */
    uint64_t window_us;  /* the window of what follows began */
    uint32_t answers, errors;
    uint64_t latency_sum_us;
};

/* What has happened to its state; what became of its requests is in the tally. */
struct backend_counts {
    uint64_t failures, errors, downs, ejections;
};

struct backend {
    char host[BACKEND_HOST_MAX]; /* as its line writes it; the Host field if that is to be ours */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    char text[BACKEND_TEXT_MAX]; /* address for logs: "10.0.0.9:8080", "unix:/run/app.sock" */
    uint64_t id;                 /* hash of text, for balancers that hash */
    _Atomic uint32_t mux_memory; /* what its connections have learned of it, for the codec */
    _Atomic uint64_t stick;      /* what a cookie calls it; 0: there are no cookies */
    bool is_runtime;             /* added at run time: no line names it */
    uint32_t order;              /* of its line in the file; BACKEND_LAST: it has none */
    int64_t slot;        /* of the process that listens there; BACKEND_NO_SLOT: none of ours */
    struct tally *tally; /* by worker: what became of its requests */
    uint32_t idle_lists;

    /* What each request writes fills one cache line, with what the pool compares it to. */
    _Alignas(64) enum backend_state state;
    uint32_t tier; /* the lowest that can be used is */
    uint32_t weight;
    uint32_t max_open; /* connections at a time; UINT32_MAX: no limit */
    uint32_t open;     /* connections there are, or that someone has leave to make */
    uint32_t busy;     /* requests they serve; more than there are only where they are shared */
    int64_t credit;    /* smooth weighted round-robin */
    uint64_t warm_until_us;       /* slow start; 0: at its full weight */
    uint64_t ewma_us, ewma_at_us; /* peak-sensitive mean of latency, and when */
    uint64_t picked;

    _Alignas(64) atomic_uint refs;
    uint32_t conf_weight, conf_open;     /* as configured: what is in use may differ */
    uint32_t record_tier, record_weight; /* priority and weight of its SRV record; 0: none */
    bool weight_is_set;                  /* at run time: a new configuration does not change it */
    uint64_t warm_from_us;
    struct adapt adapt;
    struct health health;
    struct backend_counts counts;
    struct list gone_node;
    struct tls_session session; /* to be resumed */
    struct idle idle[];         /* by worker */
};
_Static_assert(offsetof(struct backend, refs) - offsetof(struct backend, state) == 64,
               "what each request writes of a backend is one cache line");

/* line: as the configuration names it. */
struct backend *backend_new(struct slice line, const struct sockaddr *addr, socklen_t addr_len,
                            uint32_t workers);
/* Its line in the configuration, or in a new one; adapt_configure() is to follow. With the pool's
 * lock held. */
void backend_set_conf(struct backend *b, const struct backend_conf *conf);
void backend_unref(struct backend *b);
static inline struct backend *backend_ref(struct backend *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

/* A reference for a request of this worker: all of its requests hold one together, so that the next
 * beside another writes nothing that other workers read. By the worker's own thread. */
static inline struct backend *backend_use(struct backend *b, uint32_t worker)
{
    if (b->idle[worker].uses++ == 0)
        backend_ref(b);
    return b;
}
static inline void backend_unuse(struct backend *b, uint32_t worker)
{
    if (--b->idle[worker].uses == 0)
        backend_unref(b);
}

const char *backend_state_name(enum backend_state state);

/* Its weight in BACKEND_SHAREths; less for as long as it starts slowly. With the lock held. */
uint32_t backend_warm_share(const struct backend *b, uint64_t now_us);
static inline uint32_t backend_share(const struct backend *b, uint64_t now_us)
{
    return now_us < b->warm_until_us ? backend_warm_share(b, now_us) : b->weight * BACKEND_SHARE;
}

/* Idle connections of all workers. With the lock held. */
uint32_t backend_idle(const struct backend *b);

#endif
