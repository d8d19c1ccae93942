/* What is counted of requests, by the worker that serves them and nobody else; read from the main
 * thread at any time. Counters of pools and backends are in pool/tally.h.
 *
 * A request is counted when it has ended, all in one place, from what the exchange knows of itself:
 * a few dozen additions, no lock, no shared cache line.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_STATS_H
#define CORE_STATS_H

#include "base/hist.h"
#include "codec/h2.h"
#include "core/attempt.h"
#include "net/addr.h"

struct exchange;

enum {
    STATS_CLASSES = 6,
    STATS_ERROR_FIRST = 400,
    STATS_ERRORS = 200,
    STATS_ABUSES = H2_ABUSES,
    STATS_GATES = 4
};

/* Who has ended a request before it was complete. */
#define STATS_ENDS(X) X(client) X(backend) X(gateway)

struct worker_stats {
    _Alignas(64) struct counter classes[STATS_CLASSES]; /* [0]: no response */
    struct counter clients_joined, clients_left;
    struct counter begun, ended; /* exchanges; those of incomplete heads too */
    struct counter received_bytes, sent_bytes;
    struct counter ends[3];                      /* as in STATS_ENDS */
    struct counter errors[STATS_ERRORS];         /* answers of our own, by status - 400 */
    struct counter abuses[STATS_ABUSES];         /* HTTP/2 connections closed for it */
    struct counter compressed, compress_refused; /* responses; refused: for lack of memory */
    struct counter refused[STATS_GATES];         /* by enum gate_kind */
    struct counter proxy_refused; /* connections without a head of PROXY to believe */
    struct counter compress_in_bytes, compress_out_bytes;
    struct hist total;
};

/* What came by one listener; a worker's part. */
struct listener_stats {
    _Alignas(64) struct counter joined, left; /* connections */
    struct counter classes[STATS_CLASSES];
    struct counter tls_handshakes, tls_resumed, tls_failures;
    struct net_addr local; /* where they come to; len 0: any address, each knows its own */
};

/* All workers' together. */
struct listener_sum {
    uint64_t joined, left, classes[STATS_CLASSES];
    uint64_t tls_handshakes, tls_resumed, tls_failures;
};

struct listener_stats *listener_stats_new(uint32_t workers, const struct net_addr *bound)
    __attribute__((returns_nonnull));
/* Adds those of all workers to sum; any thread. */
void listener_stats_read(const struct listener_stats *s, uint32_t workers,
                         struct listener_sum *sum);

/* All workers' together. */
struct stats_sum {
    uint64_t classes[STATS_CLASSES];
    uint64_t clients_joined, clients_left, begun, ended, received_bytes, sent_bytes;
    uint64_t ends[3], errors[STATS_ERRORS], abuses[STATS_ABUSES];
    uint64_t refused[STATS_GATES], proxy_refused;
    uint64_t compressed, compress_refused, compress_in_bytes, compress_out_bytes;
    struct hist_sum total;
};

/* Adds s to sum; any thread. */
void stats_read(const struct worker_stats *s, struct stats_sum *sum);

const char *stats_abuse_name(uint32_t i); /* "resets" */

/* An attempt has begun, on x->attempt.backend. */
void stats_attempt(struct exchange *x);
/* The exchange is over; what it knows of its attempt is still there. now_us: read just now. */
void stats_finish(struct exchange *x, uint64_t now_us);
/* The newest attempt, on x->attempt.backend, has failed. */
void stats_attempt_failed(struct exchange *x, enum attempt_failure failure);

#endif
