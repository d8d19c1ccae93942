/* SPDX-License-Identifier: MIT */
#include "proc/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "proc/appsock.h"
#include "proc/output.h"

enum {
    TICK_MIN_MS = 20,
    TICK_MAX_MS = 1000,
    TICK_COUNTED_MS = 100, /* where requests or memory are counted */
    PROBE_MS = 10,
    VACANT_MS = 1000, /* how long requests may wait at the socket of a process that has ended */
};

/* A process and where it listens; the place in the array is its slot. */
struct proc {
    struct spawn_child child;
    struct output output;
    struct net_addr addr;
    int listen_fd; /* -1: the application makes its socket itself, or it is the shared one */
    bool is_open;  /* the owner has been told of the address */
    uint64_t started_ms;
    struct app *app;
};

struct app {
    struct loop *loop;
    struct spawn *spawn;
    struct app_setup setup;
    struct policy policy;
    struct proc *procs;
    struct net_addr shared_addr;
    int shared_fd; /* -1: none */
    uint32_t shared_capacity;
    struct timer tick, probe;
    struct post wake;
    struct deferred stopped;
    enum { APP_RUNS, APP_STOPS, APP_STOPPED } phase;
    bool freed; /* as soon as wake has run */
};

#define APP_FMT    "pool " SLICE_FMT
#define APP_ARG(a) SLICE_ARG((a)->setup.name)

static void turn(struct app *a);

static uint32_t slot_of(const struct proc *p)
{
    return (uint32_t)(p - p->app->procs);
}

static bool is_inherited(const struct app *a)
{
    int kind = a->setup.conf->socket;
    return kind == SPAWN_FD0 || kind == SPAWN_FD3;
}

/* ---- addresses ---- */

static void number_path(const struct app *a, uint32_t n, char *path, size_t cap)
{
    snprintf(path, cap, "%s/a%u-%u", a->setup.run_dir, a->setup.def->index, a->setup.first + n);
}

static int open_socket(const struct app *a, uint32_t n, struct net_addr *addr)
{
    char path[RUN_DIR_MAX + 32];
    number_path(a, n, path, sizeof(path));
    int error = appsock_path(slice_str(path), addr);
    return error ? error : appsock_listen(addr);
}

static void close_socket(int *fd, const struct net_addr *addr)
{
    if (*fd < 0)
        return;
    unlink(addr->un.sun_path);
    close(*fd);
    *fd = -1;
}

/* Where the next process in this slot is to listen. */
static int choose_address(struct app *a, struct proc *p)
{
    char path[MESSAGE_PATH_MAX + 1];
    switch ((enum spawn_socket)a->setup.conf->socket) {
    case SPAWN_FD0:
    case SPAWN_FD3:
        if (a->setup.conf->shared) {
            p->addr = a->shared_addr;
            return 0;
        }
        if (p->listen_fd < 0)
            p->listen_fd = open_socket(a, slot_of(p), &p->addr);
        return p->listen_fd < 0 ? p->listen_fd : 0;
    case SPAWN_PORT: return appsock_find_port(&p->addr);
    case SPAWN_PATH:
        if (!message_expand(a->setup.def->path, slot_of(p), 0, SLICE_NONE, path, sizeof(path)))
            return -ENAMETOOLONG;
        unlink(path); /* of a process that has gone */
        return appsock_path(slice_str(path), &p->addr);
    }
    return -EINVAL;
}

static void tell_address(struct app *a, uint32_t slot, uint32_t capacity)
{
    struct proc *p = &a->procs[slot];
    p->is_open = true;
    a->setup.owner.on_address(a->setup.owner.ctx, slot, &p->addr, capacity);
}

/* One address for all: its capacity is what those that are ready have together. */
static void tell_shared(struct app *a)
{
    uint32_t capacity = policy_count(&a->policy, PROC_READY) * a->policy.conf.concurrency;
    if (capacity == a->shared_capacity)
        return;
    a->shared_capacity = capacity;
    a->setup.owner.on_address(a->setup.owner.ctx, 0, &a->shared_addr, capacity);
}

static void tell_gone(struct app *a, struct proc *p)
{
    if (a->setup.conf->shared)
        tell_shared(a);
    else if (p->is_open)
        a->setup.owner.on_gone(a->setup.owner.ctx, slot_of(p));
    p->is_open = false;
}

/* ---- starting ---- */

static int order_process(struct app *a, struct proc *p, int output_fd)
{
    int listen_fd = p->listen_fd >= 0 ? p->listen_fd : a->shared_fd;
    struct spawn_order o = {.def = a->setup.def->index,
                            .number = slot_of(p),
                            .port = net_addr_port(&p->addr),
                            .fd_count = 2,
                            .targets = {1, 2}};
    int fds[3] = {output_fd, output_fd, listen_fd};
    if (is_inherited(a)) {
        o.fd_count = 3;
        o.targets[2] = a->setup.conf->socket == SPAWN_FD0 ? 0 : 3;
    }
    return spawn_start(a->spawn, &p->child, &o, fds);
}

static int try_start(struct app *a, struct proc *p)
{
    AUTO_CLOSE int output_fd = -1;
    int error = choose_address(a, p);
    if (!error)
        error = output_open(&p->output, &output_fd);
    if (!error)
        error = order_process(a, p, output_fd);
    return error;
}

/* Nothing may hang on to the socket: what waits there is refused, and is tried elsewhere or fails.
 */
static void note_failed_start(struct app *a, struct proc *p, int error, enum spawn_stage stage)
{
    output_close(&p->output);
    close_socket(&p->listen_fd, &p->addr);
    policy_failed(&a->policy, slot_of(p), a->loop->now_ms);
    log_error(0, APP_FMT ": cannot start %s: %s: %s; next try in %u ms", APP_ARG(a),
              a->setup.conf->command.p, spawn_stage_name(stage), strerror(-error),
              (unsigned)(a->policy.retry_ms - a->loop->now_ms));
}

static void start(struct app *a, uint32_t slot)
{
    struct proc *p = &a->procs[slot];
    p->started_ms = a->loop->now_ms;
    int error = try_start(a, p);
    if (error)
        note_failed_start(a, p, error, STAGE_NONE);
}

static void on_started(struct spawn_child *c, int error, enum spawn_stage stage)
{
    struct proc *p = container_of(c, struct proc, child);
    struct app *a = p->app;
    if (error) {
        note_failed_start(a, p, error, stage);
    } else {
        log_info(0, APP_FMT " [%d] started %s", APP_ARG(a), (int)c->pid, a->setup.conf->command.p);
        error = output_start(&p->output, c->pid);
        if (error)
            log_error(0, APP_FMT " [%d] cannot be listened to: %s", APP_ARG(a), (int)c->pid,
                      strerror(-error));
        policy_started(&a->policy, slot_of(p), a->loop->now_ms);
        if (is_inherited(a)) /* it is connected to already, and will accept when it gets there */
            policy_ready(&a->policy, slot_of(p), a->loop->now_ms);
        else
            timer_set(a->loop, &a->probe, 0);
    }
    turn(a);
}

static void on_probe(struct timer *t)
{
    struct app *a = container_of(t, struct app, probe);
    bool again = false, found = false;
    for (uint32_t i = 0; i < a->policy.slot_count; i++) {
        if (a->policy.slots[i].state != PROC_WARMING)
            continue;
        if (appsock_answers(&a->procs[i].addr)) {
            policy_ready(&a->policy, i, a->loop->now_ms);
            found = true;
        } else {
            again = true;
        }
    }
    if (again)
        timer_set(a->loop, t, PROBE_MS);
    if (found)
        turn(a);
}

/* ---- ending ---- */

static void describe_exit(const struct spawn_exit *e, char *text, size_t cap)
{
    if (e->lost)
        snprintf(text, cap, "ended with the spawner");
    else if (e->signo)
        snprintf(text, cap, "was killed by SIG%s",
                 sigabbrev_np(e->signo) ? sigabbrev_np(e->signo) : "?");
    else
        snprintf(text, cap, "exited with status %d", e->status);
}

static void log_exit(const struct app *a, const struct proc *p, const struct spawn_exit *e,
                     bool expected, bool failed)
{
    char how[64], then[64] = "";
    uint64_t age_ms = a->loop->now_ms - p->started_ms;
    describe_exit(e, how, sizeof(how));
    if (failed)
        snprintf(then, sizeof(then), "; next start in %u ms",
                 (unsigned)(a->policy.retry_ms - a->loop->now_ms));
    log_at(expected ? LEVEL_INFO : LEVEL_WARN, 0,
           APP_FMT " [%d] %s after %u.%03u s, %u ms of CPU, %u MiB of memory%s", APP_ARG(a),
           (int)p->child.pid, how, (unsigned)(age_ms / 1000), (unsigned)(age_ms % 1000),
           (unsigned)(e->cpu_us / 1000), (unsigned)(e->rss_bytes >> 20), then);
}

/* One that worked and broke off: the next may well serve those who wait at the socket. */
static bool is_soon_back(const struct app *a)
{
    return a->policy.failures == 1 && a->policy.retry_ms - a->loop->now_ms <= VACANT_MS;
}

static void on_exited(struct spawn_child *c, const struct spawn_exit *e)
{
    struct proc *p = container_of(c, struct proc, child);
    struct app *a = p->app;
    const struct policy_slot *s = &a->policy.slots[slot_of(p)];
    bool expected = s->state == PROC_STOPPING || s->state == PROC_KILLING;
    output_close(&p->output);
    bool failed = policy_exited(&a->policy, slot_of(p), e->status == 0 || e->lost, a->loop->now_ms);
    if (e->lost) {
        policy_forgive(&a->policy);
        failed = false;
    }
    log_exit(a, p, e, expected || e->status == 0, failed);
    tell_gone(a, p);
    if (failed && !is_soon_back(a))
        close_socket(&p->listen_fd, &p->addr);
    turn(a);
}

static void send_signal(struct app *a, uint32_t slot, int signo, const char *why)
{
    struct proc *p = &a->procs[slot];
    log_at(signo == SIGKILL ? LEVEL_WARN : LEVEL_INFO, 0, APP_FMT " [%d] %s: %s", APP_ARG(a),
           (int)p->child.pid, signo == SIGKILL ? "killing it" : "stopping it", why);
    spawn_signal(a->spawn, &p->child, signo);
}

/* ---- what the policy says ---- */

static void act(void *ctx, enum policy_verb verb, uint32_t slot, const char *why)
{
    struct app *a = ctx;
    switch (verb) {
    case POLICY_START: start(a, slot); break;
    case POLICY_OPEN:
    case POLICY_SHUT:
        if (a->setup.conf->shared)
            tell_shared(a);
        else
            tell_address(a, slot, verb == POLICY_OPEN ? a->policy.conf.concurrency : 0);
        break;
    case POLICY_TERM: send_signal(a, slot, SIGTERM, why); break;
    case POLICY_KILL: send_signal(a, slot, SIGKILL, why); break;
    }
}

/* Resident memory as /proc/PID/statm has it, in its second number; 0 if it cannot be told. */
static uint64_t read_rss(pid_t pid)
{
    char path[32], text[64];
    uint64_t pages;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n <= 0)
        return 0;
    struct slice s = slice_of(text, (size_t)n);
    size_t first = slice_find(s, ' ');
    if (first == s.n)
        return 0;
    s = slice_skip(s, first + 1);
    return num_dec(slice_first(s, slice_find(s, ' ')), &pages)
               ? pages * (uint64_t)sysconf(_SC_PAGESIZE)
               : 0;
}

static void look_at_load(struct app *a)
{
    const struct app_owner *o = &a->setup.owner;
    bool shared = a->setup.conf->shared;
    struct app_load all = shared && a->shared_capacity ? o->load(o->ctx, 0) : (struct app_load){0};
    policy_set_waiting(&a->policy, o->waiting(o->ctx));
    if (shared) /* slot 0 stands for all of them, whether or not it has a process */
        policy_set_load(&a->policy, 0, all.busy, all.served, 0);
    for (uint32_t i = 0; i < a->policy.slot_count; i++) {
        const struct policy_slot *s = &a->policy.slots[i];
        if (s->state == PROC_FREE)
            policy_set_awaited(&a->policy, i, appsock_is_awaited(a->procs[i].listen_fd));
        if (s->state != PROC_READY && s->state != PROC_DRAINING)
            continue;
        uint64_t rss = a->policy.conf.memory_bytes ? read_rss(a->procs[i].child.pid) : 0;
        struct app_load l = shared ? (struct app_load){s->busy, s->served} : o->load(o->ctx, i);
        policy_set_load(&a->policy, i, l.busy, l.served, rss);
    }
}

/* How often the load is looked at, besides when somebody waits. */
static uint64_t tick_ms(const struct app *a)
{
    const struct policy_conf *conf = &a->policy.conf;
    uint64_t most_ms = conf->max_requests || conf->memory_bytes ? TICK_COUNTED_MS : TICK_MAX_MS;
    uint64_t ms = conf->idle_ms ? conf->idle_ms / 8 : most_ms;
    if (ms < TICK_MIN_MS)
        return TICK_MIN_MS;
    return ms < most_ms ? ms : most_ms;
}

/* The next process in a slot takes over those that wait at its socket; but they must not wait long
 * for one that may never come. */
static bool has_socket(const struct app *a)
{
    for (uint32_t i = 0; i < a->policy.slot_count; i++)
        if (a->procs[i].listen_fd >= 0)
            return true;
    return false;
}

static void close_vacant(struct app *a)
{
    for (uint32_t i = 0; i < a->policy.slot_count; i++) {
        const struct policy_slot *s = &a->policy.slots[i];
        if (s->state == PROC_FREE && a->loop->now_ms - s->since_ms >= VACANT_MS)
            close_socket(&a->procs[i].listen_fd, &a->procs[i].addr);
    }
}

/* Without a spawner nothing can be done until app_resume(). */
static void turn(struct app *a)
{
    if (a->phase == APP_STOPPED || (!spawn_is_connected(a->spawn) && a->phase == APP_RUNS))
        return;
    look_at_load(a);
    uint64_t due_ms = policy_turn(&a->policy, a->loop->now_ms);
    close_vacant(a);
    bool is_empty = policy_is_empty(&a->policy);
    if (a->phase == APP_STOPS && is_empty) {
        a->phase = APP_STOPPED;
        loop_defer(a->loop, &a->stopped);
        return;
    }
    uint64_t tick = is_empty && !has_socket(a) ? UINT64_MAX : a->loop->now_ms + tick_ms(a);
    due_ms = due_ms < tick ? due_ms : tick;
    if (due_ms == UINT64_MAX)
        timer_clear(&a->tick);
    else
        timer_set_at(a->loop, &a->tick, due_ms);
}

static void on_tick(struct timer *t)
{
    turn(container_of(t, struct app, tick));
}

static void on_wake(struct post *post)
{
    struct app *a = container_of(post, struct app, wake);
    if (a->freed)
        free(a);
    else
        turn(a);
}

static void on_stopped(struct deferred *d)
{
    struct app *a = container_of(d, struct app, stopped);
    a->setup.owner.on_stopped(a->setup.owner.ctx);
}

/* ---- for the owner ---- */

static struct policy_conf policy_from(const struct spawn_conf *c)
{
    return (struct policy_conf){.min = c->min,
                                .max = c->max,
                                .concurrency = spawn_conf_concurrency(c),
                                .idle_ms = c->idle_ms,
                                .max_requests = c->max_requests,
                                .memory_bytes = c->memory_bytes,
                                .age_ms = c->age_ms,
                                .start_ms = c->start_ms,
                                .stop_ms = c->stop_ms,
                                .drain_ms = c->drain_ms,
                                .backoff_min_ms = c->backoff_min_ms,
                                .backoff_max_ms = c->backoff_max_ms,
                                .shared = c->shared};
}

static void init_procs(struct app *a)
{
    a->procs = mem_zalloc(a->policy.slot_count * sizeof(*a->procs));
    for (uint32_t i = 0; i < a->policy.slot_count; i++) {
        struct proc *p = &a->procs[i];
        p->app = a;
        p->listen_fd = -1;
        spawn_child_init(&p->child);
        p->child.on_started = on_started;
        p->child.on_exited = on_exited;
        output_init(&p->output, a->loop, a->setup.name, LEVEL_INFO);
    }
}

struct app *app_new(struct loop *l, struct spawn *s, const struct app_setup *setup)
{
    struct app *a = mem_zalloc(sizeof(*a));
    struct policy_conf conf = policy_from(setup->conf);
    *a = (struct app){.loop = l, .spawn = s, .setup = *setup, .shared_fd = -1};
    a->wake.run = on_wake;
    timer_init(&a->tick, on_tick);
    timer_init(&a->probe, on_probe);
    deferred_init(&a->stopped, on_stopped);
    policy_init(&a->policy, &conf, act, a);
    init_procs(a);
    if (setup->conf->shared) {
        a->shared_fd = open_socket(a, 0, &a->shared_addr);
        if (a->shared_fd < 0) /* each start will say so too */
            log_error(0, APP_FMT ": cannot open its socket: %s", APP_ARG(a),
                      strerror(-a->shared_fd));
    }
    turn(a);
    return a;
}

void app_free(struct app *a)
{
    for (uint32_t i = 0; i < a->policy.slot_count; i++) {
        struct proc *p = &a->procs[i];
        if (p->child.state != CHILD_NONE)
            spawn_abandon(a->spawn, &p->child);
        output_close(&p->output);
        close_socket(&p->listen_fd, &p->addr);
    }
    close_socket(&a->shared_fd, &a->shared_addr);
    timer_fini(a->loop, &a->tick);
    timer_fini(a->loop, &a->probe);
    if (list_is_linked(&a->stopped.node))
        list_remove(&a->stopped.node);
    policy_fini(&a->policy);
    free(a->procs);
    a->freed = true;
    if (!atomic_load(&a->wake.is_posted)) /* else on_wake() is about to come by */
        free(a);
}

void app_wake(struct app *a)
{
    loop_post(a->loop, &a->wake);
}

void app_restart(struct app *a)
{
    log_info(0, APP_FMT ": replacing all processes", APP_ARG(a));
    policy_restart(&a->policy);
    turn(a);
}

void app_stop(struct app *a)
{
    if (a->phase != APP_RUNS)
        return;
    a->phase = APP_STOPS;
    policy_stop(&a->policy);
    turn(a);
}

void app_resume(struct app *a)
{
    policy_forgive(&a->policy);
    turn(a);
}

uint32_t app_slots(const struct app *a)
{
    return a->policy.slot_count;
}

bool app_view(const struct app *a, uint32_t slot, struct app_view *view)
{
    const struct policy_slot *s = &a->policy.slots[slot];
    const struct proc *p = &a->procs[slot];
    *view = (struct app_view){.pid = p->child.pid,
                              .state = s->state,
                              .age_ms = a->loop->now_ms - p->started_ms,
                              .served = s->served,
                              .busy = s->busy,
                              .rss_bytes = s->rss_bytes,
                              .addr = p->addr};
    return s->state != PROC_FREE;
}
