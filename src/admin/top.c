/* `sluice top`: pools, backends and rates, live in a terminal.
 *
 * Asks the running gateway once a second. Rates and quantiles are of the time between two answers.
 * Draws on the alternate screen, whole lines only, so that nothing flickers and the terminal is as
 * it was afterwards.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "admin/cli_remote.h"
#include "admin/table.h"
#include "base/hist.h"

enum { ASK_MS = 1000, RETRY_MS = 1000, COLUMNS = 80, LINES = 24 };

#define SORTS(X)                                                                                   \
    X(NAME, "file order") X(RATE, "req/s") X(BUSY, "busy") X(ERRORS, "5xx/s") X(P99, "p99")
enum sort {
#define X(id, name) SORT_##id,
    SORTS(X)
#undef X
        SORT_COUNT
};
static const char *const sort_names[] = {
#define X(id, name) name,
    SORTS(X)
#undef X
};

enum style { STYLE_BACKEND, STYLE_POOL, STYLE_TITLE, STYLE_BAD };

/* One sample: both answers. */
struct sample {
    json_t *status, *pools;
    uint64_t at_us;
};

struct top {
    struct loop loop;
    struct remote_address address;
    struct remote remote;
    struct timer ask;
    struct watch keys, signals;
    struct termios before; /* of the terminal */
    struct sample now, last, next;
    enum sort sort;
    const char *trouble; /* NULL: none */
};

/* What is shown of a pool or a backend. */
struct line {
    const json_t *json;
    double rate, errors, failures;
    uint64_t busy, p50_us, p99_us;
    size_t order;
};

/* ---- numbers ---- */

static uint64_t requests_of(const json_t *j)
{
    static const char *const classes[] = {"counters.no_response", "counters.1xx", "counters.2xx",
                                          "counters.3xx",         "counters.4xx", "counters.5xx"};
    uint64_t sum = 0;
    for (size_t i = 0; j && i < sizeof(classes) / sizeof(classes[0]); i++)
        sum += json_number_at(j, classes[i]);
    return sum;
}

static uint64_t failures_of(const json_t *j)
{
    return json_number_at(j, "counters.failed_connect") +
           json_number_at(j, "counters.failed_broken") +
           json_number_at(j, "counters.failed_timeout") +
           json_number_at(j, "counters.failed_protocol");
}

static double seconds_between(const struct top *t)
{
    return t->last.status ? (double)(t->now.at_us - t->last.at_us) / 1e6 : 0;
}

/* 0 before the second sample, and when counters have begun anew. */
static double rate(const struct top *t, uint64_t now, uint64_t before)
{
    double s = seconds_between(t);
    return s > 0 && now >= before ? (double)(now - before) / s : 0;
}

static struct hist_sum latency_since(const json_t *now, const json_t *before)
{
    struct hist_sum a, b = {0};
    json_read_hist(now, &a);
    if (before)
        json_read_hist(before, &b);
    a.count = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        a.buckets[i] -= b.buckets[i] <= a.buckets[i] ? b.buckets[i] : a.buckets[i];
        a.count += a.buckets[i];
    }
    return a;
}

static const json_t *total_latency(const json_t *j)
{
    return json_object_get(json_object_get(j, "latency"), "total_us");
}

static struct line line_of(const struct top *t, const json_t *now, const json_t *before,
                           size_t order)
{
    struct line l = {.json = now, .busy = json_number_at(now, "connections.busy"), .order = order};
    if (!before)
        return l;
    struct hist_sum h = latency_since(total_latency(now), total_latency(before));
    l.rate = rate(t, requests_of(now), requests_of(before));
    l.errors = rate(t, json_number_at(now, "counters.5xx"), json_number_at(before, "counters.5xx"));
    l.failures = rate(t, failures_of(now), failures_of(before));
    l.p50_us = hist_quantile_us(&h, 0.5);
    l.p99_us = hist_quantile_us(&h, 0.99);
    return l;
}

/* The same pool or backend in the sample before; NULL if it is new. */
static const json_t *find_before(const json_t *list, const json_t *now, const char *key)
{
    size_t i;
    const json_t *it;
    json_array_foreach(list, i,
                       it) if (strcmp(json_text_at(it, key), json_text_at(now, key)) == 0 &&
                               strcmp(json_text_at(it, "name"), json_text_at(now, "name")) ==
                                   0) return it;
    return NULL;
}

static int compare(const void *a, const void *b, void *ctx)
{
    const struct line *x = a, *y = b;
    const enum sort *sort = ctx;
    double less = 0; /* largest first */
    switch (*sort) {
    case SORT_RATE: less = y->rate - x->rate; break;
    case SORT_BUSY: less = (double)y->busy - (double)x->busy; break;
    case SORT_ERRORS: less = y->errors + y->failures - x->errors - x->failures; break;
    case SORT_P99: less = (double)y->p99_us - (double)x->p99_us; break;
    case SORT_NAME:
    case SORT_COUNT: break;
    }
    if (less != 0)
        return less > 0 ? 1 : -1;
    return x->order > y->order ? 1 : -1;
}

/* Sorted; to be freed. */
static struct line *lines_of(struct top *t, const json_t *now, const json_t *before,
                             const char *key, size_t *count)
{
    size_t i;
    const json_t *it;
    *count = json_array_size(now);
    struct line *lines = calloc(*count + 1, sizeof(*lines));
    if (!lines)
        abort();
    json_array_foreach(now, i, it) lines[i] = line_of(t, it, find_before(before, it, key), i);
    qsort_r(lines, *count, sizeof(*lines), compare, &t->sort);
    return lines;
}

/* ---- the table ---- */

static void add_titles(struct table *table)
{
    static const char *const titles[] = {"POOL / BACKEND", "STATE", "BUSY",   "OPEN", "QUEUE",
                                         "REQ/S",          "5XX/S", "FAIL/S", "P50",  "P99"};
    table_row(table)->style = STYLE_TITLE;
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        table_cell(table, "%s", titles[i]);
}

static void add_conns(struct table *table, const json_t *j)
{
    unsigned long long open = json_number_at(j, "connections.open");
    unsigned long long limit = json_number_at(j, "connections.limit");
    if (limit)
        table_cell(table, "%llu/%llu", open, limit);
    else
        table_cell(table, "%llu", open);
}

static void add_line(struct table *table, const struct line *l, bool is_pool)
{
    const char *state = json_text_at(l->json, "state");
    int style = is_pool ? STYLE_POOL : strcmp(state, "up") == 0 ? STYLE_BACKEND : STYLE_BAD;
    table_row(table)->style = style;
    table_cell(table, "%s%s", is_pool ? "" : "  ",
               json_text_at(l->json, is_pool ? "name" : "address"));
    table_cell(table, "%s", is_pool ? "" : state);
    table_cell(table, "%llu", (unsigned long long)l->busy);
    add_conns(table, l->json);
    if (is_pool)
        table_cell(table, "%llu", (unsigned long long)json_number_at(l->json, "queue.waiting"));
    else
        table_cell(table, "%s", "");
    table_cell(table, "%.1f", l->rate);
    table_cell(table, "%.1f", l->errors);
    table_cell(table, "%.1f", l->failures);
    table_cell_us(table, l->p50_us);
    table_cell_us(table, l->p99_us);
}

static void fill_table(struct top *t, struct table *table)
{
    size_t count, backend_count;
    const json_t *before = json_object_get(t->last.pools, "pools");
    struct line *pools =
        lines_of(t, json_object_get(t->now.pools, "pools"), before, "name", &count);
    add_titles(table);
    for (size_t i = 0; i < count; i++) {
        const json_t *was = find_before(before, pools[i].json, "name");
        add_line(table, &pools[i], true);
        struct line *backends =
            lines_of(t, json_object_get(pools[i].json, "backends"),
                     json_object_get(was, "backends"), "address", &backend_count);
        for (size_t k = 0; k < backend_count; k++)
            add_line(table, &backends[k], false);
        free(backends);
    }
    free(pools);
}

/* ---- drawing ---- */

struct screen {
    FILE *out;
    char *text;
    size_t bytes;
    unsigned lines, columns, line; /* line: the next one */
};

static void end_line(struct screen *s)
{
    fputs("\033[0m\033[K", s->out); /* plain; clear what was there before */
    if (++s->line < s->lines)
        fputs("\r\n", s->out);
}

static void put_line(struct screen *s, const char *style, const char *text)
{
    fprintf(s->out, "%s%.*s", style, (int)s->columns, text);
    end_line(s);
}

static void put_summary(struct screen *s, const struct top *t)
{
    char line[512], in[TABLE_CELL_MAX], out[TABLE_CELL_MAX], p50[TABLE_CELL_MAX],
        p99[TABLE_CELL_MAX];
    const json_t *now = t->now.status, *was = t->last.status;
    unsigned long long up = json_number_at(now, "uptime_s");
    snprintf(line, sizeof(line),
             "sluice %s  up %llu:%02llu:%02llu  configuration %llu  clients %llu  in flight %llu%s",
             json_text_at(now, "version"), up / 3600, up / 60 % 60, up % 60,
             (unsigned long long)json_number_at(now, "generation"),
             (unsigned long long)json_number_at(now, "clients.open"),
             (unsigned long long)json_number_at(now, "requests.in_flight"),
             json_is_true(json_object_get(now, "stopping")) ? "  STOPPING" : "");
    put_line(s, "\033[1m", line);
    const json_t *latency = json_object_get(json_object_get(now, "requests"), "latency");
    const json_t *latency_was = json_object_get(json_object_get(was, "requests"), "latency");
    struct hist_sum h = latency_since(latency, latency_was);
    snprintf(line, sizeof(line), "%.1f req/s  %.1f 5xx/s  p50 %s  p99 %s  in %s/s  out %s/s",
             rate(t, json_number_at(now, "requests.total"), json_number_at(was, "requests.total")),
             rate(t, json_number_at(now, "requests.5xx"), json_number_at(was, "requests.5xx")),
             table_duration(p50, was ? hist_quantile_us(&h, 0.5) : 0),
             table_duration(p99, was ? hist_quantile_us(&h, 0.99) : 0),
             table_bytes(in, rate(t, json_number_at(now, "requests.received_bytes"),
                                  json_number_at(was, "requests.received_bytes"))),
             table_bytes(out, rate(t, json_number_at(now, "requests.sent_bytes"),
                                   json_number_at(was, "requests.sent_bytes"))));
    put_line(s, "", line);
}

static void put_rows(struct screen *s, struct top *t)
{
    static const char *const styles[] = {"", "\033[1m", "\033[7m", "\033[31m"};
    struct table table;
    table_init(&table, 2);
    fill_table(t, &table);
    for (uint32_t i = 0; i < table.count && s->line + 1 < s->lines; i++) {
        fputs(styles[table.rows[i].style], s->out);
        table_put_row(&table, i, s->out, s->columns);
        end_line(s);
    }
    table_fini(&table);
}

static void measure(struct screen *s)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col;
    s->lines = known ? size.ws_row : LINES;
    s->columns = known ? size.ws_col : COLUMNS;
}

/* All at once; a terminal that does not take it misses a picture, no more. */
static void show(struct screen *s)
{
    size_t at = 0;
    while (at < s->bytes) {
        ssize_t n = write(STDOUT_FILENO, s->text + at, s->bytes - at);
        if (n < 0 && errno != EINTR)
            return;
        at += n > 0 ? (size_t)n : 0;
    }
}

static void draw(struct top *t)
{
    struct screen s = {0};
    char line[256];
    measure(&s);
    s.out = open_memstream(&s.text, &s.bytes);
    if (!s.out)
        return;
    fputs("\033[H", s.out);
    if (t->now.status)
        put_summary(&s, t);
    if (t->trouble)
        put_line(&s, "\033[31m", t->trouble);
    if (t->now.status)
        put_rows(&s, t);
    while (s.line + 1 < s.lines)
        end_line(&s);
    snprintf(line, sizeof(line), "q quit  s sort: %s  (%s)", sort_names[t->sort], t->address.text);
    put_line(&s, "\033[2m", line);
    fclose(s.out);
    show(&s);
    free(s.text);
}

/* ---- asking ---- */

static void drop(struct sample *s)
{
    json_decref(s->status);
    json_decref(s->pools);
    *s = (struct sample){0};
}

static void take_sample(struct top *t)
{
    drop(&t->last);
    t->last = t->now;
    t->now = t->next;
    t->next = (struct sample){0};
    t->now.at_us = loop_clock_us();
    t->trouble = NULL;
    draw(t);
    timer_set(&t->loop, &t->ask, ASK_MS);
}

static void on_trouble(struct top *t, const struct remote_answer *answer)
{
    drop(&t->next);
    drop(&t->last);
    t->trouble = answer->error ? "the gateway cannot be reached; trying again"
                               : "the gateway refuses to answer";
    draw(t);
    timer_set(&t->loop, &t->ask, RETRY_MS);
}

static json_t *json_of(const struct remote_answer *answer)
{
    return answer->error || answer->status != 200
               ? NULL
               : json_loadb(answer->body.p, answer->body.n, 0, NULL);
}

static void on_pools(void *ctx, const struct remote_answer *answer)
{
    struct top *t = ctx;
    t->next.pools = json_of(answer);
    if (t->next.pools)
        take_sample(t);
    else
        on_trouble(t, answer);
}

static void on_status(void *ctx, const struct remote_answer *answer)
{
    struct top *t = ctx;
    t->next.status = json_of(answer);
    if (t->next.status)
        remote_ask(&t->remote, "GET", "/pools", SLICE(""), on_pools, t);
    else
        on_trouble(t, answer);
}

static void on_ask(struct timer *timer)
{
    struct top *t = container_of(timer, struct top, ask);
    remote_ask(&t->remote, "GET", "/status", SLICE(""), on_status, t);
}

/* ---- the terminal ---- */

static void on_key(struct watch *w, uint32_t events)
{
    struct top *t = container_of(w, struct top, keys);
    char key;
    while (read(STDIN_FILENO, &key, 1) == 1) { /* 0: there is none (VMIN) */
        if (key == 'q' || key == 'Q')
            loop_stop(&t->loop);
        if (key == 's')
            t->sort = (t->sort + 1) % SORT_COUNT;
    }
    if (events & (EPOLLHUP | EPOLLERR))
        loop_stop(&t->loop);
    if (!t->loop.stopping)
        draw(t);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct top *t = container_of(w, struct top, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            draw(t);
        else
            loop_stop(&t->loop);
    }
}

static int watch_signals(struct top *t)
{
    static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    t->signals =
        (struct watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .on_event = on_signal};
    return t->signals.fd < 0 ? -errno : loop_watch(&t->loop, &t->signals, EPOLLIN);
}

static void put(const char *text)
{
    struct screen s = {.text = (char *)(uintptr_t)text, .bytes = strlen(text)};
    show(&s);
}

static void enter_screen(struct top *t)
{
    struct termios raw;
    tcgetattr(STDIN_FILENO, &t->before);
    raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0; /* read() never blocks */
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put("\033[?1049h\033[?25l\033[?7l"); /* alternate screen; no cursor; lines are not wrapped */
}

static void leave_screen(struct top *t)
{
    put("\033[?7h\033[?25h\033[?1049l");
    tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

static int run(struct top *t)
{
    int error = watch_signals(t);
    t->keys = (struct watch){.fd = STDIN_FILENO, .on_event = on_key};
    if (!error)
        error = loop_watch(&t->loop, &t->keys, EPOLLIN);
    if (error) {
        fprintf(stderr, "sluice top: %s\n", strerror(-error));
        return EXIT_FAILED;
    }
    enter_screen(t);
    timer_set(&t->loop, &t->ask, 0);
    loop_run(&t->loop);
    leave_screen(t);
    return EXIT_OK;
}

int cli_run_top(const struct cli_args *args)
{
    struct top t = {.signals = {.fd = -1}};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("sluice top: this is for terminals\n    hint: sluice pools --json is for programs\n",
              stderr);
        return EXIT_USAGE;
    }
    /* Whether anybody is there is found out before the screen is taken. */
    json_t *first = cli_ask(args, "GET", "/status", NULL);
    if (!first || !cli_find_gateway(args, &t.address) || loop_init(&t.loop) < 0) {
        json_decref(first);
        return EXIT_FAILED;
    }
    json_decref(first);
    remote_init(&t.remote, &t.loop, &t.address);
    timer_init(&t.ask, on_ask);
    int status = run(&t);
    remote_fini(&t.remote);
    timer_fini(&t.loop, &t.ask);
    drop(&t.now);
    drop(&t.last);
    drop(&t.next);
    loop_close(&t.loop, &t.signals);
    loop_fini(&t.loop);
    return status;
}
