/* SPDX-License-Identifier: MIT */
#include "proc/spawner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/channel.h"
#include "proc/launch.h"

enum { PID_BUCKETS = 256 };

/* A definition and the packet that its texts lie in. */
struct known {
    struct list node;
    struct spawn_def def;
    char *packet;
};

struct peer {
    struct channel channel;
    struct list node;
    struct list children;
    bool sealed;
    struct server *server;
    struct deferred gone;
};

struct child {
    struct list by_pid, by_peer; /* by_peer: among the server's orphans when the peer has gone */
    struct peer *peer;           /* NULL: nobody to tell */
    uint64_t id;
    uint64_t kill_ms; /* an orphan's */
    pid_t pid;
    enum spawn_kind kind;
};

/* All that the spawner knows. */
struct server {
    struct loop loop;
    struct watch signals;
    struct timer grace;
    struct list peers, known, orphans;
    uint32_t peer_count, known_count, child_count;
    struct list by_pid[PID_BUCKETS];
};

/* With nobody to serve and nothing to wait for there is nothing left to do. */
static void check_end(struct server *s)
{
    if (s->peer_count == 0 && s->child_count == 0)
        loop_stop(&s->loop);
}

/* ---- definitions ---- */

static struct known *find_known(struct server *s, uint32_t index)
{
    list_each (it, &s->known) {
        struct known *k = container_of(it, struct known, node);
        if (k->def.index == index)
            return k;
    }
    return NULL;
}

static void forget(struct server *s, struct known *k)
{
    list_remove(&k->node);
    s->known_count--;
    free(k->packet);
    free(k);
}

static void define(struct server *s, struct slice packet)
{
    struct known *old, *k = mem_zalloc(sizeof(*k));
    struct message m;
    k->packet = mem_dup(packet.p, packet.n);
    const char *why = message_read(slice_of(k->packet, packet.n), &m);
    assert(!why); /* it was read before */
    k->def = m.def;
    list_init(&k->node);
    if ((old = find_known(s, k->def.index)))
        forget(s, old);
    list_append(&s->known, &k->node);
    s->known_count++;
}

/* ---- children ---- */

static struct list *bucket(struct server *s, pid_t pid)
{
    return &s->by_pid[(uint32_t)pid % PID_BUCKETS];
}

static struct child *find_child(struct server *s, pid_t pid)
{
    list_each (it, bucket(s, pid)) {
        struct child *c = container_of(it, struct child, by_pid);
        if (c->pid == pid)
            return c;
    }
    return NULL;
}

static struct child *find_id(struct peer *p, uint64_t id)
{
    list_each (it, &p->children) {
        struct child *c = container_of(it, struct child, by_peer);
        if (c->id == id)
            return c;
    }
    return NULL;
}

static void tell(struct peer *p, const struct message *m)
{
    int error = channel_send(&p->channel, m, NULL, 0);
    if (error && error != -ENOTCONN) /* that is about to be seen */
        log_error(0, "spawner: cannot answer: %s", strerror(-error));
}

static void add_child(struct peer *p, const struct spawn_order *o, enum spawn_kind kind, pid_t pid)
{
    struct server *s = p->server;
    struct child *c = mem_zalloc(sizeof(*c));
    *c = (struct child){.peer = p, .id = o->id, .pid = pid, .kind = kind};
    list_init(&c->by_pid);
    list_init(&c->by_peer);
    list_append(bucket(s, pid), &c->by_pid);
    list_append(&p->children, &c->by_peer);
    s->child_count++;
}

/* What is ordered was defined before, but by another channel, which may not have been read yet. */
static const struct known *find_ordered(struct peer *p, uint32_t index)
{
    struct server *s = p->server;
    const struct known *k = find_known(s, index);
    if (k)
        return k;
    list_each (it, &s->peers) {
        struct peer *other = container_of(it, struct peer, node);
        if (other != p && !other->sealed)
            channel_hear(&other->channel);
    }
    return find_known(s, index);
}

static void start_child(struct peer *p, const struct spawn_order *o, const struct channel_fds *fds)
{
    const struct known *k = find_ordered(p, o->def);
    enum spawn_stage stage = STAGE_DEFINITION;
    pid_t pid = -ENOENT;
    if (fds->count != o->fd_count || find_id(p, o->id))
        pid = -EINVAL;
    else if (k)
        pid = launch(&k->def, o, fds->fd, &stage);
    if (pid > 0)
        add_child(p, o, k->def.kind, pid);
    struct message m = {.type = MESSAGE_STARTED,
                        .started = {.id = o->id, .pid = pid > 0 ? pid : 0, .stage = stage}};
    m.started.error = pid > 0 ? 0 : pid;
    tell(p, &m);
}

static void signal_child(struct peer *p, const struct spawn_signal *s)
{
    const struct child *c = find_id(p, s->id);
    if (c) /* it may have exited meanwhile */
        kill(-c->pid, (int)s->signo);
}

static uint64_t cpu_us(const struct rusage *r)
{
    return (uint64_t)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1000000 +
           (uint64_t)(r->ru_utime.tv_usec + r->ru_stime.tv_usec);
}

static void report_exit(const struct child *c, int status, const struct rusage *used)
{
    struct message m = {.type = MESSAGE_EXITED};
    m.exited = (struct spawn_exited){.id = c->id,
                                     .pid = c->pid,
                                     .status = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                                     .signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                                     .cpu_us = cpu_us(used),
                                     .rss_bytes = (uint64_t)used->ru_maxrss * 1024};
    tell(c->peer, &m);
}

/* While the leader has not been reaped its number names its group for sure, so what is left of the
 * application is ended before. A CGI program may leave something running in the background. */
static void reap(struct server *s, pid_t pid)
{
    struct child *c = find_child(s, pid);
    struct rusage used = {0};
    int status = 0;
    if (c && c->kind == SPAWN_APP)
        kill(-pid, SIGKILL);
    wait4(pid, &status, 0, &used);
    if (!c) /* a grandchild that had lost its parent */
        return;
    if (c->peer)
        report_exit(c, status, &used);
    list_remove(&c->by_pid);
    list_remove(&c->by_peer);
    free(c);
    s->child_count--;
    check_end(s);
}

static void on_signal(struct watch *w, uint32_t events)
{
    struct server *s = container_of(w, struct server, signals);
    struct signalfd_siginfo info;
    siginfo_t exited = {0};
    (void)events;
    while (read(w->fd, &info, sizeof(info)) > 0)
        ;
    while (waitid(P_ALL, 0, &exited, WEXITED | WNOHANG | WNOWAIT) == 0 && exited.si_pid) {
        reap(s, exited.si_pid);
        exited.si_pid = 0;
    }
}

/* ---- channels ---- */

/* Orphans are in order of their time. */
static void kill_orphans(struct timer *t)
{
    struct server *s = container_of(t, struct server, grace);
    list_each (it, &s->orphans) {
        struct child *c = container_of(it, struct child, by_peer);
        if (c->kill_ms > s->loop.now_ms) {
            timer_set(&s->loop, t, c->kill_ms - s->loop.now_ms);
            break;
        }
        kill(-c->pid, SIGKILL);
    }
}

static void orphan_children(struct peer *p)
{
    struct server *s = p->server;
    struct list *node;
    while ((node = list_shift(&p->children))) {
        struct child *c = container_of(node, struct child, by_peer);
        kill(-c->pid, SIGTERM);
        c->peer = NULL;
        c->kill_ms = s->loop.now_ms + SPAWNER_GRACE_MS;
        list_append(&s->orphans, &c->by_peer);
        if (!s->grace.due_ms)
            timer_set(&s->loop, &s->grace, SPAWNER_GRACE_MS);
    }
}

static void free_peer(struct deferred *d)
{
    struct peer *p = container_of(d, struct peer, gone);
    struct server *s = p->server;
    channel_fini(&p->channel);
    list_remove(&p->node);
    free(p);
    s->peer_count--;
    check_end(s);
}

static void drop_peer(struct peer *p)
{
    channel_close(&p->channel);
    orphan_children(p);
    loop_defer(&p->server->loop, &p->gone);
}

static void refuse(struct peer *p, const char *why)
{
    log_error(0, "spawner: refused: %s", why);
    drop_peer(p);
}

static void on_closed(struct channel *c, const char *why)
{
    (void)why;
    drop_peer(container_of(c, struct peer, channel));
}

static void on_message(struct channel *c, const struct message *m, struct slice packet,
                       struct channel_fds *fds);

static int add_peer(struct server *s, int fd, bool sealed)
{
    struct peer *p = mem_zalloc(sizeof(*p));
    p->server = s;
    p->sealed = sealed;
    list_init(&p->children);
    list_init(&p->node);
    deferred_init(&p->gone, free_peer);
    channel_init(&p->channel, &s->loop, MESSAGE_MAX);
    p->channel.on_message = on_message;
    p->channel.on_closed = on_closed;
    list_append(&s->peers, &p->node);
    s->peer_count++;
    int error = channel_open(&p->channel, fd);
    if (error)
        drop_peer(p);
    return error;
}

static void open_channel(struct peer *p, struct channel_fds *fds)
{
    if (fds->count != 1 || channel_adopt(fds->fd[0]) < 0) {
        refuse(p, "a channel without its socket");
        return;
    }
    if (p->server->peer_count >= SPAWNER_CHANNELS_MAX)
        return; /* it closes, and so the other end sees it */
    int fd = fds->fd[0];
    fds->fd[0] = -1;
    int error = add_peer(p->server, fd, true);
    if (error)
        log_error(0, "spawner: channel: %s", strerror(-error));
}

/* What says what may be run. */
static void change_known(struct peer *p, const struct message *m, struct slice packet)
{
    struct server *s = p->server;
    struct known *k;
    if (p->sealed)
        refuse(p, "a definition by a channel that is sealed");
    else if (m->type == MESSAGE_FORGET && (k = find_known(s, m->forget)))
        forget(s, k);
    else if (m->type == MESSAGE_DEFINE && s->known_count < SPAWNER_DEFS_MAX)
        define(s, packet);
}

static void on_message(struct channel *c, const struct message *m, struct slice packet,
                       struct channel_fds *fds)
{
    struct peer *p = container_of(c, struct peer, channel);
    switch (m->type) {
    case MESSAGE_DEFINE:
    case MESSAGE_FORGET: change_known(p, m, packet); break;
    case MESSAGE_CHANNEL: open_channel(p, fds); break;
    case MESSAGE_START: start_child(p, &m->order, fds); break;
    case MESSAGE_SIGNAL: signal_child(p, &m->signal); break;
    case MESSAGE_STARTED:
    case MESSAGE_EXITED: refuse(p, "a message that only the spawner sends"); break;
    }
}

/* ---- the process ---- */

static void write_log(void *ctx, enum log_level level, struct slice line)
{
    (void)ctx;
    (void)level;
    ssize_t n = write(STDERR_FILENO, line.p, line.n);
    (void)n;
}

static const struct log_sink log_to_stderr = {.write = write_log, .wall_us = loop_wall_us};

/* 0 to 3 stay occupied, see launch.h; stderr stays what it was; fd becomes the one above. */
static int arrange_fds(int fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return -errno;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, LAUNCH_FDS + 1); /* out of the way */
    if (high < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 ||
        (fcntl(2, F_GETFD) < 0 && dup2(null_fd, 2) < 0) || dup2(null_fd, 3) < 0 ||
        dup3(high, LAUNCH_FDS, O_CLOEXEC) < 0 || close_range(LAUNCH_FDS + 1, ~0u, 0) < 0)
        return -errno;
    return LAUNCH_FDS;
}

/* Blocks all signals; those of a terminal do not even arrive, as the session is another. */
static int watch_children(struct server *s)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    setsid();
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return -errno;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    s->signals = (struct watch){.on_event = on_signal};
    s->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signals.fd < 0 ? -errno : loop_watch(&s->loop, &s->signals, EPOLLIN);
}

static int serve(struct server *s, int fd)
{
    list_init(&s->peers);
    list_init(&s->known);
    list_init(&s->orphans);
    for (int i = 0; i < PID_BUCKETS; i++)
        list_init(&s->by_pid[i]);
    fd = arrange_fds(fd);
    int error = fd < 0 ? fd : loop_init(&s->loop);
    timer_init(&s->grace, kill_orphans);
    if (!error)
        error = watch_children(s);
    if (!error)
        error = add_peer(s, fd, false);
    if (!error)
        loop_run(&s->loop);
    return error;
}

__attribute__((noreturn)) static void run_spawner(int fd)
{
    log_set_sink(&log_to_stderr);
    prctl(PR_SET_NAME, "sluice-spawner");
    struct server *s = mem_zalloc(sizeof(*s));
    int error = serve(s, fd);
    if (error)
        log_error(0, "spawner: %s", strerror(-error));
    while (!error && !list_is_empty(&s->known))
        forget(s, container_of(list_first(&s->known), struct known, node));
    _exit(error ? EXIT_FAILURE : EXIT_SUCCESS); /* nothing of main's is to be flushed here */
}

int spawner_start(struct spawner *out)
{
    int ends[2];
    *out = (struct spawner){.fd = -1};
    int error = channel_pair(ends);
    if (error)
        return error;
    pid_t pid = fork();
    if (pid == 0)
        run_spawner(ends[1]);
    error = pid < 0 ? -errno : 0;
    close(ends[1]);
    if (error)
        close(ends[0]);
    else
        *out = (struct spawner){.pid = pid, .fd = ends[0]};
    return error;
}

/* ---- for the other end ---- */

int spawner_define(int channel, const struct spawn_def *def)
{
    struct message m = {.type = MESSAGE_DEFINE, .def = *def};
    return channel_send_blocking(channel, &m, NULL, 0);
}

int spawner_forget(int channel, uint32_t index)
{
    struct message m = {.type = MESSAGE_FORGET, .forget = index};
    return channel_send_blocking(channel, &m, NULL, 0);
}

int spawner_channel(int channel)
{
    struct message m = {.type = MESSAGE_CHANNEL};
    int ends[2];
    int error = channel_pair(ends);
    if (error)
        return error;
    error = channel_send_blocking(channel, &m, &ends[1], 1);
    close(ends[1]);
    if (error)
        close(ends[0]);
    return error ? error : ends[0];
}
