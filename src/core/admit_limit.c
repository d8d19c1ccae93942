/* `rate` and `concurrent`: how often, and how many at a time.
 *
 * A request is charged once by each, however often it is sent on inside the gateway.
 * SPDX-License-Identifier: MIT */
#include "base/num.h"
#include "core/admit.h"
#include "core/generation.h"
#include "core/limiter.h"
#include "core/request_key.h"
#include "core/snapshot.h"
#include "core/worker.h"

enum { NS_PER_MS = 1000000 };

/* Of both. */
struct limit {
    struct request_key key;
    uint32_t entries;
    uint32_t index; /* of the table, in snapshot.limits */
    struct slice text;
    struct config_place at;

    struct limiter_rate rate;
    uint32_t burst, delay_ms;
    uint32_t max; /* of `concurrent` */
};

/* What a request has been charged with. */
struct charge {
    struct charge *next;
    const struct limit *limit;
    struct limiter *limiter;
    struct limiter_entry *entry; /* of `concurrent`: to be given back */
};

/* ---- serving ---- */

static bool is_charged(const struct exchange *x, const struct limit *limit)
{
    for (const struct charge *c = x->charges; c; c = c->next)
        if (c->limit == limit)
            return true;
    return false;
}

static void charge(struct exchange *x, const struct limit *limit, struct limiter *limiter,
                   struct limiter_entry *entry)
{
    struct charge *c = arena_alloc(&x->arena, sizeof(*c));
    *c = (struct charge){.next = x->charges, .limit = limit, .limiter = limiter, .entry = entry};
    x->charges = c;
}

void admit_end_charges(struct exchange *x)
{
    for (struct charge *c = x->charges; c; c = c->next)
        if (c->entry)
            limiter_leave(c->limiter, c->entry);
    x->charges = NULL;
}

static struct limiter *limiter_of(const struct exchange *x, const struct limit *limit)
{
    return x->tenure->generation->limiters[limit->index];
}

static uint64_t key_of(const struct exchange *x, const struct limit *limit)
{
    bool is_client;
    struct slice key = request_key_of(x, &limit->key, &is_client);
    return limiter_key(limiter_of(x, limit), key, is_client);
}

static struct slice seconds(struct exchange *x, uint64_t ns)
{
    char *digits = arena_alloc(&x->arena, NUM_DEC_MAX);
    return slice_of(digits, num_put_dec(digits, (ns + 999999999) / 1000000000));
}

static enum admit wait_until(struct exchange *x, const uint64_t *due_ms)
{
    if (x->worker->loop.now_ms >= *due_ms)
        return ADMIT_PASS;
    timer_set_at(&x->worker->loop, &x->timer, *due_ms);
    return ADMIT_WAIT;
}

static enum admit ask_rate(struct exchange *x, const void *conf)
{
    const struct limit *limit = conf;
    if (x->gate_state)
        return wait_until(x, x->gate_state);
    if (is_charged(x, limit))
        return ADMIT_PASS;
    uint64_t patience_ns = limit->delay_ms * UINT64_C(1000000);
    uint64_t wait_ns = limiter_take(limiter_of(x, limit), key_of(x, limit), &limit->rate,
                                    x->worker->loop.now_us * 1000, patience_ns);
    if (wait_ns > patience_ns)
        return admit_refuse(x, 429, FIELD_RETRY_AFTER, seconds(x, wait_ns),
                            "more requests than the rate allows", "RFC 6585 4");
    charge(x, limit, NULL, NULL);
    if (wait_ns < NS_PER_MS)
        return ADMIT_PASS;
    uint64_t *due_ms = arena_alloc(&x->arena, sizeof(*due_ms));
    *due_ms = x->worker->loop.now_ms + (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    x->gate_state = due_ms;
    return wait_until(x, due_ms);
}

static enum admit ask_concurrent(struct exchange *x, const void *conf)
{
    const struct limit *limit = conf;
    if (is_charged(x, limit))
        return ADMIT_PASS;
    struct limiter *limiter = limiter_of(x, limit);
    struct limiter_entry *entry = limiter_enter(limiter, key_of(x, limit), limit->max);
    if (!entry)
        return admit_refuse(x, 429, FIELD_RETRY_AFTER, SLICE("1"),
                            "more requests at a time than are allowed (concurrent)", "RFC 6585 4");
    charge(x, limit, limiter, entry);
    return ADMIT_PASS;
}

static void drop_wait(struct exchange *x)
{
    timer_clear(&x->timer);
}

/* ---- configuration ---- */

static void explain(const void *conf, const struct facts *q, FILE *out)
{
    const struct limit *limit = conf;
    (void)q;
    fprintf(out, "limit: " SLICE_FMT "\n", SLICE_ARG(limit->text));
}

static uint32_t count_alike(const struct snapshot *s, struct slice text)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->limit_count; i++)
        n += slice_eq(slice_first(s->limits[i].name, text.n), text);
    return n;
}

static bool finish(struct config_reader *r, struct snapshot *s, const struct site_conf *site,
                   void *conf)
{
    (void)site;
    struct limit *limit = conf;
    if (limit->rate.interval_ns) {
        limit->rate.burst = limit->burst ? limit->burst : limit->max;
        if (limit->rate.burst > ((uint64_t)1 << 62) / limit->rate.interval_ns)
            return config_error(r->diag, limit->at,
                                "so many at such a rate is longer than a century");
    }
    uint32_t alike = count_alike(s, limit->text);
    limit->index = s->limit_count;
    struct limit_conf *kept = config_append(r, &s->limits, &s->limit_count, sizeof(*kept));
    *kept = (struct limit_conf){
        .name = arena_printf(r->arena, SLICE_FMT " #%u", SLICE_ARG(limit->text), alike),
        .entries = limit->entries,
    };
    return true;
}

static const struct gate rate_gate = {
    .name = "rate",
    .kind = GATE_RATE,
    .finish = finish,
    .ask = ask_rate,
    .drop = drop_wait,
    .explain = explain,
};

static const struct gate concurrent_gate = {
    .name = "concurrent",
    .kind = GATE_CONCURRENT,
    .finish = finish,
    .ask = ask_concurrent,
    .explain = explain,
};

static key_set_fn set_key;

/* clang-format off */
#define KEY_OPTIONS                                                                                \
    {.name = "key", .type = KEY_CUSTOM, .set = set_key, .init = "client",                          \
     .syntax = REQUEST_KEY_SYNTAX,                                                                 \
     .help = "who is counted: the client's address (of IPv6 its /64), everybody together, or a "   \
             "part of the request; one without it counts by its client"},                          \
    {.name = "size", .type = KEY_UINT, .at = at(struct limit, entries), .init = "65536",           \
     .min = "64", .max = "16777216",                                                               \
     .help = "keys remembered at a time, of 16 bytes each"}

const struct key admit_rate_options[] = {
    {.name = "burst", .type = KEY_UINT, .at = at(struct limit, burst), .min = "1", .max = "1000000",
     .help = "how many may come at once after a rest; without it as many as the rate's number"},
    {.name = "delay", .type = KEY_MS, .at = at(struct limit, delay_ms), .init = "0ms",
     .max = "1m", .help = "those that are early by no more than this wait instead of being refused"},
    KEY_OPTIONS,
    {.name = NULL},
};

const struct key admit_concurrent_options[] = {
    KEY_OPTIONS,
    {.name = NULL},
};
/* clang-format on */

static bool set_key(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct limit *limit = target;
    (void)d;
    return request_key_parse(word->text, &limit->key) ||
           config_error(r->diag, word->text_at, "'key' takes " REQUEST_KEY_SYNTAX);
}

/* NULL for one that switches off. */
static struct limit *open_limit(struct config_reader *r, const struct directive *d,
                                struct admission *a, const struct gate *gate)
{
    struct limit *limit = arena_zalloc(r->arena, sizeof(*limit));
    bool is_off = d->arg_count == 1 && slice_eq(d->args[0].text, SLICE("off"));
    limit->text = config_directive_text(d, r->arena);
    limit->at = d->name.at;
    admission_add(r, a, gate, is_off ? NULL : limit);
    return limit;
}

void *admit_open_rate(struct config_reader *r, const struct directive *d, struct admission *a)
{
    return open_limit(r, d, a, &rate_gate);
}

void *admit_open_concurrent(struct config_reader *r, const struct directive *d, struct admission *a)
{
    return open_limit(r, d, a, &concurrent_gate);
}

/* "10/s", "5/10s", "100/m": the number and the time. */
static bool read_rate(struct slice text, uint64_t *count, uint64_t *ms)
{
    size_t slash = slice_find(text, '/');
    struct slice time = slice_skip(text, slash + (slash < text.n));
    char one[3] = {'1', time.n ? time.p[0] : ' ', 0};
    if (time.n == 1)
        time = slice_of(one, 2);
    return slash < text.n && num_dec(slice_first(text, slash), count) && num_ms(time, ms) &&
           *count && *ms && *count <= 1000000 && *ms <= 366ull * 86400 * 1000;
}

bool admit_set_rate(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct limit *limit = target;
    uint64_t count, ms;
    if (slice_eq(word->text, SLICE("off")))
        return true;
    if (!read_rate(word->text, &count, &ms))
        return config_error(r->diag, word->at,
                            "'" SLICE_FMT "' is no rate\nwrite 10/s, 100/m or 5/10s",
                            SLICE_ARG(word->text));
    (void)d;
    limit->max = (uint32_t)count;
    limit->rate.interval_ns = ms * NS_PER_MS / count;
    return true;
}

bool admit_set_concurrent(struct config_reader *r, const struct directive *d,
                          const struct config_word *word, void *target)
{
    struct limit *limit = target;
    uint64_t max;
    (void)d;
    if (slice_eq(word->text, SLICE("off")))
        return true;
    if (!num_dec(word->text, &max) || max == 0 || max > 1000000)
        return config_error(r->diag, word->at, "'concurrent' takes a number of requests, or off");
    limit->max = (uint32_t)max;
    return true;
}
