/* SPDX-License-Identifier: MIT */
#include "core/stats.h"

#include <stdlib.h>
#include <string.h>

#include "core/exchange.h"
#include "core/worker.h"

/* What came of a request, gathered once for the pool's numbers and the backend's. */
struct outcome {
    enum tally_counter class;
    uint64_t queue_us, connect_us, first_us, total_us;
    bool dialed, reused, answered;
};

static uint64_t span(uint64_t from_us, uint64_t to_us)
{
    return from_us && to_us > from_us ? to_us - from_us : 0;
}

static struct outcome outcome_of(const struct exchange *x, uint64_t now_us)
{
    uint16_t status = x->response == MSG_NONE ? 0 : x->resp.status;
    bool begun = x->begin_us && x->begin_us >= x->dial_us; /* in the newest attempt */
    return (struct outcome){
        .class = TALLY_NONE + (status / 100 < STATS_CLASSES ? status / 100 : 0),
        .queue_us = x->dial_us ? span(x->wait_us, x->dial_us) : span(x->wait_us, now_us),
        .connect_us = span(x->dial_us, x->begin_us),
        .first_us = span(x->begin_us, x->head_us),
        .total_us = span(x->start_us, now_us),
        .dialed = begun && !x->attempt.reused,
        .reused = begun && x->attempt.reused,
        .answered = begun && x->head_us >= x->begin_us,
    };
}

static void count(struct tally *t, const struct exchange *x, const struct outcome *o)
{
    counter_add(&t->counters[o->class], 1);
    if (x->req_bytes)
        counter_add(&t->counters[TALLY_RECEIVED_BYTES], x->req_bytes);
    counter_add(&t->counters[TALLY_SENT_BYTES], x->resp_bytes);
    if (o->reused)
        counter_add(&t->counters[TALLY_REUSED], 1);
    if (x->broken && x->response != MSG_NONE)
        counter_add(&t->counters[TALLY_BROKEN], 1);
    hist_count(&t->hists[TALLY_QUEUE], o->queue_us);
    if (o->dialed)
        hist_count(&t->hists[TALLY_CONNECT], o->connect_us);
    if (o->answered)
        hist_count(&t->hists[TALLY_FIRST], o->first_us);
    hist_count(&t->hists[TALLY_TOTAL], o->total_us);
}

static void count_attempt(struct tally *t, const struct attempt *at)
{
    counter_add(&t->counters[TALLY_ATTEMPTS], 1);
    if (at->hedge.conn && at->hedge.is_racing) /* nobody has been asked yet */
        return;
    if (at->count > 1)
        counter_add(&t->counters[TALLY_RETRIES], 1);
    if (at->hedge.conn)
        counter_add(&t->counters[TALLY_HEDGES], 1);
}

static void count_worker(struct worker_stats *s, const struct exchange *x, const struct outcome *o)
{
    counter_add(&s->classes[o->class - TALLY_NONE], 1);
    counter_add(&s->received_bytes, x->req_bytes);
    counter_add(&s->sent_bytes, x->resp_bytes);
    hist_count(&s->total, o->total_us);
    if (x->record.ended_by == END_COMPLETE)
        return;
    counter_add(&s->ends[x->record.ended_by - END_CLIENT], 1);
    unsigned error = x->resp.status - STATS_ERROR_FIRST;
    if (x->record.ended_by != END_CLIENT && !x->broken && error < STATS_ERRORS)
        counter_add(&s->errors[error], 1);
}

void stats_finish(struct exchange *x, uint64_t now_us)
{
    const struct attempt *at = &x->attempt;
    uint32_t worker = x->worker->index;
    const struct outcome o = outcome_of(x, now_us);
    if (!x->is_own) {
        count_worker(&x->worker->stats, x, &o);
        counter_add(&x->listener->classes[o.class - TALLY_NONE], 1);
    }
    if (at->pool)
        count(&at->pool->tally[worker], x, &o);
    if (at->backend)
        count(&at->backend->tally[worker], x, &o);
}

void stats_attempt(struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    count_attempt(&at->pool->tally[x->worker->index], at);
    count_attempt(&at->backend->tally[x->worker->index], at);
}

void stats_attempt_failed(struct exchange *x, enum attempt_failure failure)
{
    const struct attempt *at = &x->attempt;
    enum tally_counter which = TALLY_FAIL_CONNECT;
    switch (failure) {
    case FAIL_CONNECT: which = TALLY_FAIL_CONNECT; break;
    case FAIL_BROKEN: which = TALLY_FAIL_BROKEN; break;
    case FAIL_TIMEOUT: which = TALLY_FAIL_TIMEOUT; break;
    case FAIL_PROTOCOL: which = TALLY_FAIL_PROTOCOL; break;
    case FAIL_REFUSED: which = TALLY_FAIL_REFUSED; break;
    case FAIL_STATUS: which = TALLY_FAIL_STATUS; break;
    }
    counter_add(&at->pool->tally[x->worker->index].counters[which], 1);
    counter_add(&at->backend->tally[x->worker->index].counters[which], 1);
}

static bool is_any(const struct net_addr *a)
{
    switch (a->sa.sa_family) {
    case AF_INET: return a->in4.sin_addr.s_addr == INADDR_ANY;
    case AF_INET6: return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
    default: return false;
    }
}

struct listener_stats *listener_stats_new(uint32_t workers, const struct net_addr *bound)
{
    struct listener_stats *s = aligned_alloc(_Alignof(struct listener_stats), workers * sizeof(*s));
    if (!s)
        abort();
    memset(s, 0, workers * sizeof(*s));
    for (uint32_t i = 0; i < workers && !is_any(bound); i++)
        s[i].local = *bound;
    return s;
}

void listener_stats_read(const struct listener_stats *s, uint32_t workers, struct listener_sum *sum)
{
    for (uint32_t w = 0; w < workers; w++) {
        sum->joined += counter_get(&s[w].joined);
        sum->left += counter_get(&s[w].left);
        sum->tls_handshakes += counter_get(&s[w].tls_handshakes);
        sum->tls_resumed += counter_get(&s[w].tls_resumed);
        sum->tls_failures += counter_get(&s[w].tls_failures);
        for (uint32_t i = 0; i < STATS_CLASSES; i++)
            sum->classes[i] += counter_get(&s[w].classes[i]);
    }
}

void stats_read(const struct worker_stats *s, struct stats_sum *sum)
{
    for (uint32_t i = 0; i < STATS_CLASSES; i++)
        sum->classes[i] += counter_get(&s->classes[i]);
    sum->clients_joined += counter_get(&s->clients_joined);
    sum->clients_left += counter_get(&s->clients_left);
    sum->begun += counter_get(&s->begun);
    sum->ended += counter_get(&s->ended);
    sum->received_bytes += counter_get(&s->received_bytes);
    sum->sent_bytes += counter_get(&s->sent_bytes);
    for (uint32_t i = 0; i < 3; i++)
        sum->ends[i] += counter_get(&s->ends[i]);
    for (uint32_t i = 0; i < STATS_ERRORS; i++)
        sum->errors[i] += counter_get(&s->errors[i]);
    for (uint32_t i = 0; i < STATS_ABUSES; i++)
        sum->abuses[i] += counter_get(&s->abuses[i]);
    for (uint32_t i = 0; i < STATS_GATES; i++)
        sum->refused[i] += counter_get(&s->refused[i]);
    sum->proxy_refused += counter_get(&s->proxy_refused);
    sum->compressed += counter_get(&s->compressed);
    sum->compress_refused += counter_get(&s->compress_refused);
    sum->compress_in_bytes += counter_get(&s->compress_in_bytes);
    sum->compress_out_bytes += counter_get(&s->compress_out_bytes);
    hist_read(&s->total, &sum->total);
}

const char *stats_abuse_name(uint32_t i)
{
    static const char *const names[] = {
#define ABUSE(id, key, init, max, what, help) #id,
#include "codec/h2_abuse.def"
#undef ABUSE
    };
    return names[i];
}
