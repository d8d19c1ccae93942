/* SPDX-License-Identifier: MIT */
#include "core/gateway.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/worker.h"
#include "net/addr.h"
#include "net/listener.h"
#include "net/resolve.h"

enum { RESOLVE_AGAIN_MS = 5000, TTL_MIN_S = 1, SUMMARY_MS = 1000 };

/* A backend line whose host is a name: asked again whenever the answer has run out. */
struct name {
    struct gateway *gateway;
    struct pool *pool;
    const struct backend_conf *conf;
    struct timer again;
};

struct gateway {
    struct snapshot *snapshot;
    struct loop loop; /* the main thread's */
    struct watch signals;
    struct timer stop_deadline;
    struct timer summary;
    struct log_writer *log_writer;
    struct log_output *error_log, *access_log;
    struct gateway_pool *pools;
    struct name *names;
    uint32_t name_count;
    struct resolver *resolver;
    struct worker *workers;
    uint32_t worker_count;
    bool stopping;
    atomic_uint running; /* workers */
    struct post ended;
};

struct gateway_pool *gateway_pool_at(struct gateway *g, uint32_t index)
{
    return &g->pools[index];
}

static int failed(const char *what, int error)
{
    log_error(0, "%s: %s", what, strerror(-error));
    return error;
}

/* ---- logs ---- */

static int open_output(struct gateway *g, struct slice path, struct log_output **out)
{
    int error = 0;
    if (!path.n)
        return 0;
    char *name = mem_dup(path.p, path.n);
    *out = log_output_open(g->log_writer, name, &error);
    if (!*out)
        fprintf(stderr, "sluice: cannot open log %s: %s\n", name, strerror(-error));
    free(name);
    return *out ? 0 : error;
}

static void on_summary(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, summary);
    log_summarise(false);
    timer_set(&g->loop, t, SUMMARY_MS);
}

static int open_logs(struct gateway *g)
{
    const struct gateway_conf *conf = &g->snapshot->gateway;
    int error;
    g->log_writer = log_writer_new(0, &error);
    if (!g->log_writer)
        return error;
    error = open_output(g, conf->error_path, &g->error_log);
    if (!error)
        error = open_output(g, conf->access_path, &g->access_log);
    if (error)
        return error;
    log_set_level((enum log_level)conf->error_level);
    log_writer_install(g->log_writer, g->error_log, LOG_TEXT);
    timer_init(&g->summary, on_summary);
    timer_set(&g->loop, &g->summary, SUMMARY_MS);
    return 0;
}

static void close_logs(struct gateway *g)
{
    if (!g->log_writer)
        return;
    log_summarise(true);
    if (g->access_log)
        log_output_close(g->access_log);
    if (g->error_log)
        log_output_close(g->error_log);
    log_writer_free(g->log_writer);
}

/* ---- pools and the names in them ---- */

static void on_answer(void *ctx, const struct resolve_answer *answer)
{
    struct name *name = ctx;
    struct loop *l = &name->gateway->loop;
    if (answer->status != RESOLVE_OK) {
        log_warn(0, "pool " SLICE_FMT ": cannot resolve " SLICE_FMT ": %s",
                 SLICE_ARG(name->pool->conf->name), SLICE_ARG(name->conf->endpoint.host),
                 resolve_status_text(answer->status));
        timer_set(l, &name->again, RESOLVE_AGAIN_MS); /* what was known stays in use */
        return;
    }
    struct pool_address *list = mem_zalloc(answer->count * sizeof(*list));
    for (unsigned i = 0; i < answer->count; i++) {
        memcpy(&list[i].sa, &answer->addrs[i].sa, answer->addrs[i].len);
        list[i].len = answer->addrs[i].len;
    }
    pool_set_addresses(name->pool, name->conf, list, answer->count);
    free(list);
    if (answer->ttl_s == RESOLVE_TTL_NEVER)
        return;
    uint32_t ttl_s = answer->ttl_s > TTL_MIN_S ? answer->ttl_s : TTL_MIN_S;
    timer_set(l, &name->again, answer->ttl_s ? ttl_s * 1000ul : RESOLVE_AGAIN_MS);
}

static void on_ttl_over(struct timer *t)
{
    struct name *name = container_of(t, struct name, again);
    resolve_start(name->gateway->resolver, name->conf->endpoint.host, name->conf->endpoint.port,
                  on_answer, name);
}

static void add_unix(struct pool *pool, const struct backend_conf *conf)
{
    struct sockaddr_un *un;
    struct pool_address a = {.len = sizeof(*un)};
    un = (struct sockaddr_un *)&a.sa;
    un->sun_family = AF_UNIX;
    size_t n = conf->endpoint.path.n;
    memcpy(un->sun_path, conf->endpoint.path.p,
           n < sizeof(un->sun_path) ? n : sizeof(un->sun_path) - 1);
    pool_set_addresses(pool, conf, &a, 1);
}

/* The first answers are waited for, so that the first request finds its backends. */
static void add_backend(struct gateway *g, struct pool *pool, const struct backend_conf *conf,
                        const struct resolver_conf *how)
{
    if (conf->endpoint.path.n) {
        add_unix(pool, conf);
        return;
    }
    struct name *name = &g->names[g->name_count++];
    *name = (struct name){.gateway = g, .pool = pool, .conf = conf};
    timer_init(&name->again, on_ttl_over);
    resolve_blocking(how, conf->endpoint.host, conf->endpoint.port, on_answer, name);
}

static int open_pools(struct gateway *g)
{
    const struct snapshot *s = g->snapshot;
    char *servers = s->gateway.nameservers.n
                        ? mem_dup(s->gateway.nameservers.p, s->gateway.nameservers.n)
                        : NULL;
    struct resolver_conf how = {.nameservers = servers, .timeout_ms = s->gateway.resolve_ms};
    uint32_t backends = 0;
    int error = 0;
    for (uint32_t i = 0; i < s->pool_count; i++)
        backends += s->pools[i].backend_count;
    g->names = mem_zalloc(backends * sizeof(*g->names));
    g->pools = mem_zalloc(s->pool_count * sizeof(*g->pools));
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *conf = &s->pools[i];
        g->pools[i].codec = codec_find(conf->protocol);
        pool_init(&g->pools[i].pool, conf, g->worker_count);
        for (uint32_t w = 0; w < g->worker_count; w++)
            pool_set_loop(&g->pools[i].pool, w, &g->workers[w].loop);
        for (uint32_t k = 0; k < conf->backend_count; k++)
            add_backend(g, &g->pools[i].pool, &conf->backends[k], &how);
    }
    g->resolver = resolver_new(&g->loop, &how, &error);
    free(servers);
    return g->resolver ? 0 : failed("resolver", error);
}

static void close_pools(struct gateway *g)
{
    if (g->resolver)
        resolver_free(g->resolver);
    for (uint32_t i = 0; i < g->name_count; i++)
        timer_fini(&g->loop, &g->names[i].again);
    for (uint32_t i = 0; g->pools && i < g->snapshot->pool_count; i++)
        pool_fini(&g->pools[i].pool);
    free(g->names);
    free(g->pools);
}

/* ---- listeners ---- */

static int open_sockets(struct gateway *g, const struct listen_conf *conf, int *fds)
{
    if (conf->address.kind == ADDRESS_FD)
        return listener_adopt(conf->address.fd, g->worker_count, fds);
    struct listener_conf how = {.count = g->worker_count,
                                .backlog = (int)conf->backlog,
                                .v6_only = !conf->address.dual};
    memcpy(&how.addr.sa, &conf->address.sa, conf->address.len);
    how.addr.len = conf->address.len;
    return listener_open(&how, fds);
}

static void announce(int fd)
{
    char buf[NET_ADDR_TEXT_MAX];
    struct text t = text_of(buf, sizeof(buf));
    struct net_addr a;
    if (listener_addr(fd, &a) < 0)
        return;
    net_addr_put(&t, &a);
    const char *scheme = a.sa.sa_family == AF_UNIX ? "" : "http://";
    printf("listening on %s" SLICE_FMT "\n", scheme, SLICE_ARG(text_slice(&t)));
    fflush(stdout);
}

static int open_listener(struct gateway *g, const struct listen_conf *conf)
{
    int *fds = mem_alloc(g->worker_count * sizeof(*fds));
    int error = open_sockets(g, conf, fds);
    if (error) {
        log_error(0, "cannot listen on " SLICE_FMT ": %s", SLICE_ARG(conf->text), strerror(-error));
    } else {
        announce(fds[0]);
        for (uint32_t i = 0; i < g->worker_count; i++) {
            int rc = worker_listen(&g->workers[i], fds[i]);
            error = error ? error : rc;
        }
    }
    free(fds);
    return error;
}

static int open_listeners(struct gateway *g)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < g->snapshot->listen_count; i++)
        error = open_listener(g, &g->snapshot->listens[i]);
    return error;
}

/* ---- privileges and limits ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int become(const char *user, gid_t gid, uid_t uid)
{
    if (initgroups(user, gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
        return -errno;
    return setuid(0) == 0 && uid != 0 ? -EPERM : 0; /* there must be no way back */
}

static int drop_privileges(const struct gateway_conf *conf)
{
    if (!conf->user.n || geteuid() != 0)
        return 0;
    char *user = mem_dup(conf->user.p, conf->user.n);
    char *group = mem_dup(conf->group.p, conf->group.n);
    const struct passwd *pw = getpwnam(user);
    const struct group *gr = conf->group.n ? getgrnam(group) : NULL;
    int error = 0;
    if (!pw || (conf->group.n && !gr))
        log_error(0, "no such %s: %s", pw ? "group" : "user", pw ? group : user), error = -ENOENT;
    else if ((error = become(user, gr ? gr->gr_gid : pw->pw_gid, pw->pw_uid)) < 0)
        failed("cannot change to the user", error);
    free(user);
    free(group);
    return error;
}

/* ---- workers ---- */

static uint32_t count_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct gateway *g = w->gateway;
    log_writer_attach(g->log_writer);
    loop_run(&w->loop);
    log_summarise(true);
    log_writer_detach(g->log_writer);
    if (atomic_fetch_sub(&g->running, 1) == 1)
        loop_post(&g->loop, &g->ended);
    return NULL;
}

static int init_workers(struct gateway *g)
{
    const struct gateway_conf *conf = &g->snapshot->gateway;
    g->workers = aligned_alloc(64, g->worker_count * ((sizeof(struct worker) + 63) & ~63ul));
    if (!g->workers)
        return -ENOMEM;
    for (uint32_t i = 0; i < g->worker_count; i++) {
        struct worker *w = &g->workers[i];
        int error = worker_init(w, g, g->snapshot, i);
        if (error)
            return failed("event loop", error);
        w->access_log = g->access_log;
        w->client_limit = (conf->conns + g->worker_count - 1) / g->worker_count;
    }
    return 0;
}

static int start_workers(struct gateway *g)
{
    atomic_init(&g->running, g->worker_count);
    for (uint32_t i = 0; i < g->worker_count; i++) {
        int rc = pthread_create(&g->workers[i].thread, NULL, run_worker, &g->workers[i]);
        if (rc) {
            log_error(0, "cannot start a thread: %s", strerror(rc));
            abort(); /* those that run cannot serve alone */
        }
    }
    return 0;
}

static void on_ended(struct post *p)
{
    loop_stop(&container_of(p, struct gateway, ended)->loop);
}

/* ---- signals ---- */

static void on_stop_deadline(struct timer *t)
{
    struct gateway *g = container_of(t, struct gateway, stop_deadline);
    log_warn(0, "requests are still in flight after stop-timeout: breaking them off");
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_kill(&g->workers[i]);
}

static void begin_stop(struct gateway *g)
{
    if (g->stopping) {
        on_stop_deadline(&g->stop_deadline);
        return;
    }
    log_info(0, "stopping: no new connections, requests in flight are finished");
    g->stopping = true;
    for (uint32_t i = 0; i < g->worker_count; i++)
        worker_stop(&g->workers[i]);
    timer_set(&g->loop, &g->stop_deadline, g->snapshot->gateway.stop_ms);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct gateway *g = container_of(w, struct gateway, signals);
    struct signalfd_siginfo info;
    (void)events;
    while (read(w->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP || info.ssi_signo == SIGUSR1)
            log_writer_reopen(g->log_writer);
        else
            begin_stop(g);
    }
}

/* Before any thread is started, so that all inherit the mask. */
static int watch_signals(struct gateway *g)
{
    sigset_t set;
    sigemptyset(&set);
    static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* splice and sendfile know no MSG_NOSIGNAL */
    g->signals.on_event = on_signal;
    g->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (g->signals.fd < 0)
        return -errno;
    return loop_watch(&g->loop, &g->signals, EPOLLIN);
}

/* ---- a crash leaves a trace ---- */

static struct gateway *crash_gateway;

static void write_stderr(void *ctx, struct slice s)
{
    (void)ctx;
    ssize_t n = write(STDERR_FILENO, s.p, s.n);
    (void)n;
}

static void on_crash(int signo)
{
    signal(signo, SIG_DFL);
    write_stderr(NULL, SLICE("sluice: crashed; what the workers did last:\n"));
    for (uint32_t i = 0; i < crash_gateway->worker_count; i++)
        ring_dump(&crash_gateway->workers[i].ring, 0, write_stderr, NULL);
    raise(signo);
}

static void watch_crashes(struct gateway *g)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    crash_gateway = g;
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        signal(fatal[i], on_crash);
}

/* ---- from start to stop ---- */

static int start(struct gateway *g)
{
    int error = watch_signals(g);
    if (!error)
        error = open_logs(g);
    if (!error)
        error = init_workers(g);
    if (!error)
        error = open_pools(g);
    if (!error)
        error = open_listeners(g);
    if (!error)
        error = drop_privileges(&g->snapshot->gateway);
    if (!error)
        error = start_workers(g);
    return error;
}

static void finish(struct gateway *g, bool ran)
{
    for (uint32_t i = 0; g->workers && i < g->worker_count; i++) {
        if (ran)
            pthread_join(g->workers[i].thread, NULL);
        worker_fini(&g->workers[i]);
    }
    close_pools(g);
    free(g->workers);
    log_info(0, "stopped");
    close_logs(g);
    timer_fini(&g->loop, &g->stop_deadline);
    timer_fini(&g->loop, &g->summary);
    loop_close(&g->loop, &g->signals);
    loop_fini(&g->loop);
    snapshot_unref(g->snapshot);
}

int gateway_run(struct snapshot *snapshot)
{
    struct gateway g = {.snapshot = snapshot, .signals = {.fd = -1}, .ended = {.run = on_ended}};
    timer_init(&g.stop_deadline, on_stop_deadline);
    raise_descriptor_limit();
    g.worker_count = snapshot->gateway.threads ? snapshot->gateway.threads : count_cores();
    int error = loop_init(&g.loop);
    if (error)
        return EXIT_FAILURE;
    watch_crashes(&g);
    error = start(&g);
    if (!error)
        loop_run(&g.loop);
    finish(&g, !error);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
