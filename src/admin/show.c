/* What there is, as JSON.
 * SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "admin/changes.h"
#include "admin/endpoints.h"
#include "base/text.h"
#include "core/stats.h"
#include "pool/view.h"
#include "proc/supervise.h"

static const char *const class_names[STATS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
#define X(name) #name,
static const char *const end_names[] = {STATS_ENDS(X)};
#undef X

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static void set(json_t *json, const char *key, uint64_t n)
{
    json_object_set_new(json, key, number(n));
}

/* ---- latencies ---- */

/* Buckets as [longest duration, how many]; only those with something in them. The last has no
 * longest duration: null. */
static json_t *buckets_of(const struct hist_sum *h)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        if (h->buckets[i])
            json_array_append_new(
                list,
                json_pack("[o, I]", i < HIST_BUCKETS - 1 ? number(hist_upper_us(i)) : json_null(),
                          (json_int_t)h->buckets[i]));
    return list;
}

static json_t *latency(const struct hist_sum *h)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "count", number(h->count), "sum_us",
                     number(h->sum_us), "p50_us", number(hist_quantile_us(h, 0.5)), "p90_us",
                     number(hist_quantile_us(h, 0.9)), "p99_us", number(hist_quantile_us(h, 0.99)),
                     "buckets", buckets_of(h));
}

static json_t *address_json(const struct net_addr *a)
{
    char buf[NET_ADDR_TEXT_MAX];
    struct text t = text_of(buf, sizeof(buf));
    net_addr_put(&t, a);
    return json_text(text_slice(&t));
}

/* ---- pools ---- */

static void set_tally(json_t *json, const struct tally_sum *t)
{
    json_t *counters = json_object(), *latencies = json_object();
#define TALLY_COUNTER(id, key, metric, labels, help) set(counters, key, t->counters[TALLY_##id]);
#define TALLY_HIST(id, key, metric, help)                                                          \
    json_object_set_new(latencies, key, latency(&t->hists[TALLY_##id]));
#include "pool/tally.def"
#undef TALLY_COUNTER
#undef TALLY_HIST
    json_object_set_new(json, "counters", counters);
    json_object_set_new(json, "latency", latencies);
}

static json_t *conns_of(uint32_t open, uint32_t busy, uint32_t limit)
{
    return json_pack("{s:i, s:i, s:o}", "open", (int)open, "busy", (int)busy, "limit",
                     limit ? number(limit) : json_null());
}

/* What has happened to its state. */
static json_t *health_json(const struct backend_view *b)
{
    const char *probe = !b->is_probed ? NULL : b->probe_ok ? "ok" : "failed";
    json_t *json = json_pack("{s:s?, s:s?}", "why", b->why, "probe", probe);
    uint64_t now_us = loop_clock_us();
    if (b->state_us && now_us > b->state_us)
        set(json, "since_ms", (now_us - b->state_us) / 1000);
    set(json, "failures", b->counts.failures);
    set(json, "errors", b->counts.errors);
    set(json, "downs", b->counts.downs);
    set(json, "ejections", b->counts.ejections);
    set(json, "recent_latency_us", b->latency_us);
    return json;
}

static json_t *backend_json(const struct pool *p, const struct backend_view *b)
{
    struct tally_sum t = {0};
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:i, s:i, s:b, s:b, s:o, s:o}", "address",
                  json_text(slice_str(b->address)), "name", json_text(slice_str(b->name)), "state",
                  b->state, "weight", (int)b->weight, "configured_weight", (int)b->conf_weight,
                  "backup", b->tier >= BACKEND_TIER_BACKUP, "added", b->is_runtime, "connections",
                  conns_of(b->open, b->busy, b->max_conns), "health", health_json(b));
    backend_view_tally(p, b, &t);
    set_tally(json, &t);
    return json;
}

/* NULL: the pool's backends are no processes of ours. */
static json_t *processes_json(struct gateway *g, struct slice pool)
{
    const struct app *app = gateway_apps(g) ? apps_find(gateway_apps(g), pool) : NULL;
    struct app_view v;
    if (!app)
        return NULL;
    json_t *list = json_array();
    for (uint32_t slot = 0; slot < app_slots(app); slot++)
        if (app_view(app, slot, &v))
            json_array_append_new(
                list,
                json_pack("{s:i, s:i, s:s, s:o, s:i, s:o, s:o, s:o}", "slot", (int)slot, "pid",
                          (int)v.pid, "state", proc_state_name(v.state), "age_ms", number(v.age_ms),
                          "busy", (int)v.busy, "served", number(v.served), "resident_bytes",
                          number(v.rss_bytes), "address", address_json(&v.addr)));
    return list;
}

static json_t *pool_json(struct gateway *g, struct pool *p)
{
    struct tally_sum t = {0};
    struct pool_view *v = pool_view_new(p);
    json_t *backends = json_array();
    for (uint32_t i = 0; i < v->count; i++)
        json_array_append_new(backends, backend_json(p, &v->backends[i]));
    json_t *json =
        json_pack("{s:o, s:o, s:s, s:o, s:{s:i, s:i}, s:o}", "name", json_text(v->name), "protocol",
                  json_text(v->protocol), "balance", v->balance, "connections",
                  conns_of(v->open, v->busy, v->max_conns), "queue", "waiting", (int)v->waiting,
                  "length", (int)v->queue_length, "backends", backends);
    json_object_set_new(json_object_get(json, "queue"), "overloaded",
                        json_boolean(v->is_overloaded));
    json_t *processes = processes_json(g, v->name);
    if (processes)
        json_object_set_new(json, "processes", processes);
    pool_view_tally(p, &t);
    set_tally(json, &t);
    pool_view_free(v);
    return json;
}

void answer_pools(struct call *c)
{
    const struct generation *g = gateway_generation(c->admin->gateway);
    json_t *list = json_array();
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        json_array_append_new(list, pool_json(c->admin->gateway, &g->pools[i]->pool));
    reply_json(c, 200, json_pack("{s:o}", "pools", list));
}

struct pool *find_pool(struct call *c)
{
    const struct generation *g = gateway_generation(c->admin->gateway);
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        if (slice_eq(g->snapshot->pools[i].name, c->args[0]))
            return &g->pools[i]->pool;
    admin_refuse(c->conn, 404, "there is no pool '" SLICE_FMT "'", SLICE_ARG(c->args[0]));
    return NULL;
}

void answer_pool(struct call *c)
{
    struct pool *p = find_pool(c);
    if (p)
        reply_json(c, 200, pool_json(c->admin->gateway, p));
}

/* ---- the gateway ---- */

struct stats_sum gateway_stats(struct gateway *g)
{
    struct stats_sum sum = {0};
    uint32_t count;
    struct worker *workers = gateway_workers(g, &count);
    for (uint32_t i = 0; i < count; i++)
        stats_read(&workers[i].stats, &sum);
    return sum;
}

static json_t *requests_json(const struct stats_sum *s)
{
    json_t *json = json_object(), *ends = json_object();
    uint64_t total = 0;
    for (uint32_t i = 0; i < STATS_CLASSES; i++)
        total += s->classes[i];
    set(json, "in_flight", s->begun - s->ended);
    set(json, "total", total);
    for (uint32_t i = 0; i < STATS_CLASSES; i++)
        set(json, class_names[i], s->classes[i]);
    set(json, "received_bytes", s->received_bytes);
    set(json, "sent_bytes", s->sent_bytes);
    for (uint32_t i = 0; i < sizeof(end_names) / sizeof(end_names[0]); i++)
        set(ends, end_names[i], s->ends[i]);
    json_object_set_new(json, "ended_early_by", ends);
    json_object_set_new(json, "latency", latency(&s->total));
    return json;
}

static json_t *listeners_json(const struct listenings *ls)
{
    json_t *list = json_array();
    list_each (node, &ls->list) {
        const struct listening *l = container_of(node, struct listening, node);
        struct listener_sum sum = {0};
        listener_stats_read(l->stats, ls->workers, &sum);
        json_t *requests = json_object();
        for (uint32_t i = 0; i < STATS_CLASSES; i++)
            set(requests, class_names[i], sum.classes[i]);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "address",
                                              json_text(slice_str(l->text)), "open",
                                              number(sum.joined - sum.left), "total",
                                              number(sum.joined), "requests", requests));
    }
    return list;
}

static json_t *start_time(const struct admin *a)
{
    char buf[40];
    struct text t = text_of(buf, sizeof(buf));
    text_time(&t, a->started_us);
    return json_stringn(buf, text_slice(&t).n);
}

void answer_status(struct call *c)
{
    struct admin *a = c->admin;
    const struct generation *g = gateway_generation(a->gateway);
    const struct stats_sum s = gateway_stats(a->gateway);
    uint32_t threads;
    gateway_workers(a->gateway, &threads);
    json_t *json = json_pack(
        "{s:s, s:i, s:o, s:o, s:b, s:i, s:i, s:i, s:{s:o, s:o}, s:o}", "version", SLUICE_VERSION,
        "pid", (int)getpid(), "started", start_time(a), "uptime_s",
        number((loop_clock_us() - a->begun_us) / 1000000), "stopping", a->stopping, "generation",
        (int)g->number, "threads", (int)threads, "pools", (int)g->snapshot->pool_count, "clients",
        "open", number(s.clients_joined - s.clients_left), "total", number(s.clients_joined),
        "requests", requests_json(&s));
    json_object_set_new(json, "listeners", listeners_json(gateway_listenings(a->gateway)));
    json_object_set_new(json, "changes", changes_json(a->changes));
    reply_json(c, 200, json);
}

void answer_config(struct call *c)
{
    const struct generation *g = gateway_generation(c->admin->gateway);
    const struct snapshot *s = g->snapshot;
    json_t *listens = json_array(), *sites = json_array(), *pools = json_array();
    for (uint32_t i = 0; i < s->listen_count; i++)
        json_array_append_new(listens, json_text(s->listens[i].text));
    for (uint32_t i = 0; i < s->pool_count; i++)
        json_array_append_new(pools, json_text(s->pools[i].name));
    for (uint32_t i = 0; i < s->site_count; i++)
        json_array_append_new(sites, json_pack("{s:i, s:i}", "names", (int)s->sites[i].name_count,
                                               "routes", (int)s->sites[i].route_count));
    reply_json(c, 200,
               json_pack("{s:i, s:o, s:o, s:o}", "generation", (int)g->number, "listeners", listens,
                         "pools", pools, "sites", sites));
}
