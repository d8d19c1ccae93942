/* GET /metrics: Prometheus' text format, version 0.0.4. All samples of a metric stand together
 * behind its HELP and TYPE, so what is to be told is gathered first and written metric by metric.
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/endpoints.h"
#include "base/mem.h"
#include "base/num.h"
#include "core/admit.h"
#include "pool/view.h"
#include "proc/supervise.h"

/* A pool or a backend: its labels, "pool=\"app\",...", and numbers. */
struct subject {
    char *labels;
    struct tally_sum tally;
    uint32_t open, busy, waiting, max_conns, queue_length, weight;
    uint64_t downs, ejections;
    bool is_overloaded;
    const char *state;
};

struct subjects {
    struct subject *v;
    uint32_t count;
};

/* ---- pieces ---- */

/* A label's value: \, " and newline are escaped; bytes that might be no UTF-8 are written as %XX.
 */
static void put_label(FILE *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        if (ch == '\\' || ch == '"')
            fprintf(out, "\\%c", ch);
        else if (ch == '\n')
            fputs("\\n", out);
        else if (ch < ' ' || ch >= 0x7f)
            fprintf(out, "%%%02X", ch);
        else
            fputc(ch, out);
    }
}

static void put_family(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP sluice_%s %s\n# TYPE sluice_%s %s\n", name, help, name, type);
}

/* labels may be empty; more stands behind them. */
static void put_sample(FILE *out, const char *name, const char *labels, const char *more,
                       uint64_t v)
{
    const char *comma = *labels && *more ? "," : "";
    if (*labels || *more)
        fprintf(out, "sluice_%s{%s%s%s} %llu\n", name, labels, comma, more, (unsigned long long)v);
    else
        fprintf(out, "sluice_%s %llu\n", name, (unsigned long long)v);
}

static void put_single(FILE *out, const char *name, const char *type, const char *help, uint64_t v)
{
    put_family(out, name, type, help);
    put_sample(out, name, "", "", v);
}

/* One bucket for each doubling: those in between are for sluice top and the API. */
static void put_hist(FILE *out, const char *name, const char *labels, const struct hist_sum *h)
{
    const char *comma = *labels ? "," : "";
    uint64_t sum = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS - 1; i++) {
        sum += h->buckets[i];
        if (i % HIST_PER_DOUBLE == 0)
            fprintf(out, "sluice_%s_bucket{%s%sle=\"%g\"} %llu\n", name, labels, comma,
                    (double)hist_upper_us(i) / 1e6, (unsigned long long)sum);
    }
    fprintf(out, "sluice_%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
            (unsigned long long)h->count);
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    fprintf(out, "sluice_%s_sum%s%s%s %.6f\n", name, open, labels, close, (double)h->sum_us / 1e6);
    fprintf(out, "sluice_%s_count%s%s%s %llu\n", name, open, labels, close,
            (unsigned long long)h->count);
}

/* ---- gathering ---- */

static char *pool_labels(struct slice pool)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    fputs("pool=\"", out);
    put_label(out, pool);
    fputc('"', out);
    fclose(out);
    return text;
}

static char *backend_labels(struct slice pool, const struct backend_view *b)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    fputs("pool=\"", out);
    put_label(out, pool);
    fputs("\",backend=\"", out);
    put_label(out, slice_str(b->address));
    fputs("\",name=\"", out);
    put_label(out, slice_str(b->name));
    fputc('"', out);
    fclose(out);
    return text;
}

/* The subject of these labels, which are taken over. Two of a pool's lines may lead to one address:
 * a metric must not have the same labels twice, so they become one. */
static struct subject *subject_of(struct subjects *all, uint32_t from, char *labels)
{
    for (uint32_t i = from; i < all->count; i++)
        if (strcmp(all->v[i].labels, labels) == 0) {
            free(labels);
            return &all->v[i];
        }
    if ((all->count & (all->count - 1)) == 0) /* 0 and powers of two: doubled */
        all->v = mem_grow(all->v, all->count ? all->count * 2 : 1, sizeof(*all->v));
    struct subject *s = &all->v[all->count++];
    *s = (struct subject){.labels = labels};
    return s;
}

static void gather_pool(struct pool *p, struct subjects *pools, struct subjects *backends)
{
    struct pool_view *v = pool_view_new(p);
    uint32_t from = backends->count;
    struct subject *s = subject_of(pools, pools->count, pool_labels(v->name));
    pool_view_tally(p, &s->tally);
    s->open = v->open;
    s->busy = v->busy;
    s->waiting = v->waiting;
    s->max_conns = v->max_conns;
    s->queue_length = v->queue_length;
    s->is_overloaded = v->is_overloaded;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct backend_view *b = &v->backends[i];
        s = subject_of(backends, from, backend_labels(v->name, b));
        backend_view_tally(p, b, &s->tally);
        s->open += b->open;
        s->busy += b->busy;
        s->max_conns += b->max_conns;
        s->weight += b->weight;
        s->downs += b->counts.downs;
        s->ejections += b->counts.ejections;
        s->state = b->state;
    }
    pool_view_free(v);
}

static void free_subjects(struct subjects *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        free(all->v[i].labels);
    free(all->v);
}

/* ---- pools and backends ---- */

/* The rows of tally.def, each metric once. */
static const struct counter_row {
    enum tally_counter counter;
    const char *metric, *labels, *help; /* help: in a metric's first row */
} counter_rows[] = {
#define TALLY_COUNTER(id, key, metric, labels, help) {TALLY_##id, metric, labels, help},
#include "pool/tally.def"
#undef TALLY_COUNTER
};

static const struct hist_row {
    enum tally_hist hist;
    const char *metric, *help;
} hist_rows[] = {
#define TALLY_HIST(id, key, metric, help) {TALLY_##id, metric, help},
#include "pool/tally.def"
#undef TALLY_HIST
};

enum { COUNTER_ROWS = sizeof(counter_rows) / sizeof(counter_rows[0]) };
enum { HIST_ROWS = sizeof(hist_rows) / sizeof(hist_rows[0]) };

static void put_counter_rows(FILE *out, const char *kind, const struct subjects *all, size_t first,
                             size_t end)
{
    char name[96];
    snprintf(name, sizeof(name), "%s_%s_total", kind, counter_rows[first].metric);
    put_family(out, name, "counter", counter_rows[first].help);
    for (uint32_t i = 0; i < all->count; i++)
        for (size_t row = first; row < end; row++)
            put_sample(out, name, all->v[i].labels, counter_rows[row].labels,
                       all->v[i].tally.counters[counter_rows[row].counter]);
}

static void put_tallies(FILE *out, const char *kind, const struct subjects *all)
{
    char name[96];
    for (size_t first = 0, end; first < COUNTER_ROWS; first = end) {
        for (end = first + 1; end < COUNTER_ROWS && !counter_rows[end].help; end++)
            ;
        put_counter_rows(out, kind, all, first, end);
    }
    for (size_t i = 0; i < HIST_ROWS; i++) {
        snprintf(name, sizeof(name), "%s_%s", kind, hist_rows[i].metric);
        put_family(out, name, "histogram", hist_rows[i].help);
        for (uint32_t k = 0; k < all->count; k++)
            put_hist(out, name, all->v[k].labels, &all->v[k].tally.hists[hist_rows[i].hist]);
    }
}

enum gauge {
    GAUGE_OPEN,
    GAUGE_BUSY,
    GAUGE_LIMIT,
    GAUGE_WAITING,
    GAUGE_QUEUE,
    GAUGE_OVERLOAD,
    GAUGE_WEIGHT,
    GAUGE_UP,
    GAUGE_DOWNS,
    GAUGE_EJECTIONS,
};

static uint64_t gauge_value(const struct subject *s, enum gauge which)
{
    switch (which) {
    case GAUGE_OPEN: return s->open;
    case GAUGE_BUSY: return s->busy;
    case GAUGE_LIMIT: return s->max_conns;
    case GAUGE_WAITING: return s->waiting;
    case GAUGE_QUEUE: return s->queue_length;
    case GAUGE_OVERLOAD: return s->is_overloaded;
    case GAUGE_WEIGHT: return s->weight;
    case GAUGE_UP: return strcmp(s->state, "up") == 0;
    case GAUGE_DOWNS: return s->downs;
    case GAUGE_EJECTIONS: return s->ejections;
    }
    return 0;
}

struct gauge_row {
    enum gauge gauge;
    const char *metric, *type, *help;
};

static const struct gauge_row pool_gauges[] = {
    {GAUGE_OPEN, "pool_connections", "gauge", "Connections to backends, idle ones included."},
    {GAUGE_BUSY, "pool_requests_in_flight", "gauge", "Requests that backends are working on."},
    {GAUGE_LIMIT, "pool_connections_limit", "gauge", "max-conns of the pool; 0: no limit."},
    {GAUGE_WAITING, "pool_requests_waiting", "gauge", "Requests that wait for a slot."},
    {GAUGE_QUEUE, "pool_queue_length_limit", "gauge", "Requests that may wait."},
    {GAUGE_OVERLOAD, "pool_overloaded", "gauge",
     "1 while waits last too long and the newest are served first."},
};

static const struct gauge_row backend_gauges[] = {
    {GAUGE_OPEN, "backend_connections", "gauge", "Connections, idle ones included."},
    {GAUGE_BUSY, "backend_requests_in_flight", "gauge", "Requests it is working on."},
    {GAUGE_LIMIT, "backend_connections_limit", "gauge", "max-conns; 0: no limit."},
    {GAUGE_WEIGHT, "backend_weight", "gauge", "Its weight in balancing."},
    {GAUGE_UP, "backend_up", "gauge", "1 while it is given requests."},
    {GAUGE_DOWNS, "backend_downs_total", "counter", "How often it was found to be down."},
    {GAUGE_EJECTIONS, "backend_ejections_total", "counter",
     "How often it was taken out for its errors or its latency."},
};

static void put_gauges(FILE *out, const struct gauge_row *rows, size_t count,
                       const struct subjects *all)
{
    for (size_t i = 0; i < count; i++) {
        put_family(out, rows[i].metric, rows[i].type, rows[i].help);
        for (uint32_t k = 0; k < all->count; k++)
            put_sample(out, rows[i].metric, all->v[k].labels, "",
                       gauge_value(&all->v[k], rows[i].gauge));
    }
}

static void put_state(FILE *out, const struct subjects *backends)
{
    char state[64];
    put_family(out, "backend_state", "gauge", "1, with the state as a label.");
    for (uint32_t i = 0; i < backends->count; i++) {
        snprintf(state, sizeof(state), "state=\"%s\"", backends->v[i].state);
        put_sample(out, "backend_state", backends->v[i].labels, state, 1);
    }
}

static void put_pools(FILE *out, struct gateway *g)
{
    const struct generation *now = gateway_generation(g);
    struct subjects pools = {0}, backends = {0};
    for (uint32_t i = 0; i < now->snapshot->pool_count; i++)
        gather_pool(&now->pools[i]->pool, &pools, &backends);
    put_gauges(out, pool_gauges, sizeof(pool_gauges) / sizeof(pool_gauges[0]), &pools);
    put_tallies(out, "pool", &pools);
    put_gauges(out, backend_gauges, sizeof(backend_gauges) / sizeof(backend_gauges[0]), &backends);
    put_state(out, &backends);
    put_tallies(out, "backend", &backends);
    free_subjects(&pools);
    free_subjects(&backends);
}

/* ---- applications ---- */

struct process {
    char *labels;
    struct app_view view;
};

struct processes {
    struct process *v;
    uint32_t count;
};

static void gather_app(const struct app *app, struct slice pool, struct processes *all)
{
    struct app_view view;
    for (uint32_t slot = 0; slot < app_slots(app); slot++) {
        if (!app_view(app, slot, &view))
            continue;
        char *labels = NULL;
        size_t n;
        FILE *out = open_memstream(&labels, &n);
        fputs("pool=\"", out);
        put_label(out, pool);
        fprintf(out, "\",slot=\"%u\"", slot);
        fclose(out);
        all->v = mem_grow(all->v, all->count + 1, sizeof(*all->v));
        all->v[all->count++] = (struct process){.labels = labels, .view = view};
    }
}

static void put_process_family(FILE *out, const struct processes *all, const char *name,
                               const char *type, const char *help,
                               uint64_t (*value)(const struct app_view *v))
{
    put_family(out, name, type, help);
    for (uint32_t i = 0; i < all->count; i++)
        put_sample(out, name, all->v[i].labels, "", value(&all->v[i].view));
}

static uint64_t busy_of(const struct app_view *v)
{
    return v->busy;
}

static uint64_t served_of(const struct app_view *v)
{
    return v->served;
}

static uint64_t resident_of(const struct app_view *v)
{
    return v->rss_bytes;
}

static uint64_t age_of(const struct app_view *v)
{
    return v->age_ms / 1000;
}

static void put_apps(FILE *out, struct gateway *g)
{
    const struct snapshot *s = gateway_generation(g)->snapshot;
    struct processes all = {0};
    if (!gateway_apps(g))
        return;
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct app *app = apps_find(gateway_apps(g), s->pools[i].name);
        if (app)
            gather_app(app, s->pools[i].name, &all);
    }
    put_process_family(out, &all, "app_process_requests_in_flight", "gauge",
                       "Requests that an application's process is working on.", busy_of);
    put_process_family(out, &all, "app_process_requests", "gauge",
                       "Requests it was given since it was started.", served_of);
    put_process_family(out, &all, "app_process_resident_memory_bytes", "gauge",
                       "Its memory, when last looked at.", resident_of);
    put_process_family(out, &all, "app_process_age_seconds", "gauge", "Since it was started.",
                       age_of);
    for (uint32_t i = 0; i < all.count; i++)
        free(all.v[i].labels);
    free(all.v);
}

/* ---- listeners ---- */

static const char *const class_labels[] = {"code=\"none\"", "code=\"1xx\"", "code=\"2xx\"",
                                           "code=\"3xx\"",  "code=\"4xx\"", "code=\"5xx\""};

struct door {
    char *labels;
    bool is_tls;
    struct listener_sum sum;
};

static struct door *gather_doors(const struct listenings *ls, uint32_t *count)
{
    struct door *doors = NULL;
    *count = 0;
    list_each (node, &ls->list) {
        const struct listening *l = container_of(node, struct listening, node);
        size_t n;
        doors = mem_grow(doors, *count + 1, sizeof(*doors));
        struct door *d = &doors[(*count)++];
        *d = (struct door){.labels = NULL, .is_tls = l->tls != NULL};
        FILE *out = open_memstream(&d->labels, &n);
        fputs("listener=\"", out);
        put_label(out, slice_str(l->text));
        fprintf(out, "\",id=\"%u\"", l->id);
        fclose(out);
        listener_stats_read(l->stats, ls->workers, &d->sum);
    }
    return doors;
}

static void put_tls(FILE *out, const struct door *doors, uint32_t count)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } families[] = {
        {"tls_handshakes_total", "TLS handshakes that succeeded.",
         offsetof(struct listener_sum, tls_handshakes)},
        {"tls_resumptions_total", "Of them, those that went on with an earlier session.",
         offsetof(struct listener_sum, tls_resumed)},
        {"tls_failures_total", "TLS handshakes that failed.",
         offsetof(struct listener_sum, tls_failures)},
    };
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        put_family(out, families[f].name, "counter", families[f].help);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&doors[i].sum + families[f].at, sizeof(value));
            if (doors[i].is_tls)
                put_sample(out, families[f].name, doors[i].labels, "", value);
        }
    }
}

static void put_listeners(FILE *out, const struct listenings *ls)
{
    uint32_t count;
    struct door *doors = gather_doors(ls, &count);
    put_family(out, "listener_connections", "gauge", "Client connections that are open.");
    for (uint32_t i = 0; i < count; i++)
        put_sample(out, "listener_connections", doors[i].labels, "",
                   doors[i].sum.joined - doors[i].sum.left);
    put_family(out, "listener_connections_accepted_total", "counter",
               "Client connections accepted.");
    for (uint32_t i = 0; i < count; i++)
        put_sample(out, "listener_connections_accepted_total", doors[i].labels, "",
                   doors[i].sum.joined);
    put_family(out, "listener_requests_total", "counter",
               "Requests by class of the status that was answered.");
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < STATS_CLASSES; k++)
            put_sample(out, "listener_requests_total", doors[i].labels, class_labels[k],
                       doors[i].sum.classes[k]);
    put_tls(out, doors, count);
    for (uint32_t i = 0; i < count; i++)
        free(doors[i].labels);
    free(doors);
}

/* ---- the gateway as a whole ---- */

static void put_classes(FILE *out, const struct stats_sum *s)
{
    put_family(
        out, "requests_total", "counter",
        "Requests by class of the status that was answered; none: the client had gone before.");
    for (uint32_t i = 0; i < STATS_CLASSES; i++)
        put_sample(out, "requests_total", class_labels[i], "", s->classes[i]);
}

static void put_errors(FILE *out, const struct stats_sum *s)
{
    char label[32];
    put_family(out, "error_responses_total", "counter",
               "Answers that the gateway made itself, by status.");
    for (unsigned i = 0; i < STATS_ERRORS; i++) {
        snprintf(label, sizeof(label), "status=\"%u\"", STATS_ERROR_FIRST + i);
        if (s->errors[i])
            put_sample(out, "error_responses_total", label, "", s->errors[i]);
    }
}

static void put_ends(FILE *out, const struct stats_sum *s)
{
#define X(name) "by=\"" #name "\"",
    static const char *const labels[] = {STATS_ENDS(X)};
#undef X
    put_family(out, "requests_ended_early_total", "counter",
               "Requests that did not come to their end, by who ended them.");
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        put_sample(out, "requests_ended_early_total", labels[i], "", s->ends[i]);
}

static void put_abuses(FILE *out, const struct stats_sum *s)
{
    put_family(out, "h2_abuses_total", "counter",
               "HTTP/2 connections closed for what their clients did too much of.");
    for (uint32_t i = 0; i < STATS_ABUSES; i++) {
        char label[40];
        snprintf(label, sizeof(label), "kind=\"%s\"", stats_abuse_name(i));
        put_sample(out, "h2_abuses_total", label, "", s->abuses[i]);
    }
}

static void put_refused(FILE *out, const struct stats_sum *s)
{
    put_family(out, "admission_refused_total", "counter",
               "Requests that were not let in, by what refused them.");
    for (uint32_t i = 0; i < STATS_GATES; i++) {
        char label[40];
        snprintf(label, sizeof(label), "gate=\"%s\"", gate_kind_name((enum gate_kind)i));
        put_sample(out, "admission_refused_total", label, "", s->refused[i]);
    }
}

static void put_compression(FILE *out, const struct stats_sum *s)
{
    put_single(out, "compressed_responses_total", "counter", "Responses that were compressed.",
               s->compressed);
    put_single(out, "compress_refused_total", "counter",
               "Responses that were not, for lack of memory (limit compress).",
               s->compress_refused);
    put_single(out, "compress_in_bytes_total", "counter", "What went into the encoders.",
               s->compress_in_bytes);
    put_single(out, "compress_out_bytes_total", "counter", "What came out of them.",
               s->compress_out_bytes);
}

/* What stalls a thread stalls all its clients. */
static void put_turns(FILE *out, const struct admin *a)
{
    struct hist_sum sum = {0};
    uint32_t threads;
    const struct worker *workers = gateway_workers(a->gateway, &threads);
    for (uint32_t i = 0; i < threads; i++)
        hist_read(&workers[i].loop.turns, &sum);
    put_family(out, "loop_turn_seconds", "histogram",
               "Turns of the event loops: others wait for as long.");
    put_hist(out, "loop_turn_seconds", "", &sum);
    put_family(out, "loop_turn_longest_seconds", "gauge", "The longest since the start.");
    for (uint32_t i = 0; i < threads; i++)
        fprintf(out, "sluice_loop_turn_longest_seconds{thread=\"%u\"} %.6f\n", i,
                (double)counter_get(&workers[i].loop.longest_us) / 1e6);
}

static void put_gateway(FILE *out, const struct admin *a)
{
    const struct stats_sum s = gateway_stats(a->gateway);
    uint32_t threads;
    gateway_workers(a->gateway, &threads);
    put_family(out, "info", "gauge", "1, with the version as a label.");
    put_sample(out, "info", "version=\"" SLUICE_VERSION "\"", "", 1);
    put_single(out, "config_generation", "gauge", "Configurations put in place since the start.",
               gateway_generation(a->gateway)->number);
    put_single(out, "threads", "gauge", "Worker threads.", threads);
    put_single(out, "stopping", "gauge", "1 while a graceful stop is under way.", a->stopping);
    put_single(out, "client_connections", "gauge", "Client connections that are open.",
               s.clients_joined - s.clients_left);
    put_single(out, "client_connections_accepted_total", "counter", "Client connections accepted.",
               s.clients_joined);
    put_single(out, "requests_in_flight", "gauge", "Requests under way.", s.begun - s.ended);
    put_classes(out, &s);
    put_single(out, "received_bytes_total", "counter", "Bytes of request bodies.",
               s.received_bytes);
    put_single(out, "sent_bytes_total", "counter", "Bytes of response bodies.", s.sent_bytes);
    put_refused(out, &s);
    put_single(out, "proxy_refused_total", "counter",
               "Client connections closed for what a proxy was to say of them (proxy-protocol).",
               s.proxy_refused);
    put_compression(out, &s);
    put_ends(out, &s);
    put_abuses(out, &s);
    put_errors(out, &s);
    put_family(out, "request_duration_seconds", "histogram",
               "From a request's first byte to its response's last.");
    put_hist(out, "request_duration_seconds", "", &s.total);
    put_turns(out, a);
}

/* ---- the process, under the names that Prometheus' client libraries use ---- */

static void put_process(FILE *out, const char *name, const char *type, const char *help, double v)
{
    fprintf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", name, help, name,
            type, name, v);
}

static unsigned count_descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 3; /* less ".", ".." and the directory itself */
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void put_memory(FILE *out)
{
    char line[128] = "";
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return;
    unsigned long long total = 0, resident = 0;
    if (fgets(line, sizeof(line), f) && sscanf(line, "%llu %llu", &total, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        put_process(out, "virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
                    (double)total * page);
        put_process(out, "resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                    (double)resident * page);
    }
    fclose(f);
}

static void put_process_metrics(FILE *out, const struct admin *a)
{
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        put_process(out, "cpu_seconds_total", "counter",
                    "Total user and system CPU time spent in seconds.",
                    seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    put_memory(out);
    put_process(out, "open_fds", "gauge", "Number of open file descriptors.", count_descriptors());
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put_process(out, "max_fds", "gauge", "Maximum number of open file descriptors.",
                    (double)limit.rlim_cur);
    put_process(out, "start_time_seconds", "gauge",
                "Start time of the process since unix epoch in seconds.",
                (double)a->started_us / 1e6);
}

void answer_metrics(struct call *c)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) {
        admin_refuse(c->conn, 500, "out of memory");
        return;
    }
    put_gateway(out, c->admin);
    put_listeners(out, gateway_listenings(c->admin->gateway));
    put_pools(out, c->admin->gateway);
    put_apps(out, c->admin->gateway);
    put_process_metrics(out, c->admin);
    fclose(out);
    admin_reply(c->conn, 200, "text/plain; version=0.0.4; charset=utf-8", text, n);
}
