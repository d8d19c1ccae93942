/* SPDX-License-Identifier: MIT */
#include "proc/master.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "net/handover.h"
#include "proc/orphans.h"
#include "proc/pause.h"
#include "proc/spawner.h"

enum { SPAWNER_PAUSE_MS = 1000, SPAWNER_END_MS = SPAWNER_GRACE_MS + 2000, SPAWNER_LOOK_MS = 100 };
enum { ANSWER_MS = 5000, CONTROL_BUFFER = 208 * 1024, CONTROL_MAX = 1 + MESSAGE_MAX };

/* What the gateway asks; a channel comes with the last two. */
enum question { ASK_UPGRADE, ASK_GIVE_UP, ASK_SPAWNER, ASK_DEFINITIONS, ASK_KEEP };

/* What comes by the channel of ASK_DEFINITIONS. */
enum answer {
    ANSWER_DEFINITION, /* and a message that holds one */
    ANSWER_DEFINED,    /* these were all, and the directory for their sockets */
    ANSWER_NOT_DEFINED
};

struct master {
    const struct master_jobs *jobs;
    struct spawner spawner;
    pid_t gateway;   /* 0: none runs */
    pid_t successor; /* that was started last, until it ends; 0: none */
    int control;     /* our end; -1: there is none */
    int signals;     /* signalfd */
    int64_t started_ms;
    int64_t spawner_ms; /* when one was started last */
    struct orphans orphans;
    int64_t pause_ms; /* from the start of a gateway to the next; 0: none has died */
    bool has_served;  /* the gateway: what it has loaded is in place */
    bool is_stopping;
    bool is_leaving;  /* the gateway finishes what it has begun: no other is started */
    bool owes_reload; /* asked for while no gateway ran */
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void say(const char *what, int error)
{
    fprintf(stderr, "sluice: master: %s%s%s\n", what, error ? ": " : "",
            error ? strerror(-error) : "");
}

/* ---- the spawner ---- */

static int start_spawner(struct master *m)
{
    int error = spawner_start(&m->spawner);
    m->spawner_ms = now_ms();
    if (!error)
        error = m->jobs->define(m->jobs->ctx, m->spawner.fd);
    if (error)
        say("cannot start the spawner", error);
    return error;
}

static int send_with(int to, char byte, int channel, int flags)
{
    struct iovec iov = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &channel, sizeof(int));
    return sendmsg(to, &msg, MSG_NOSIGNAL | flags) < 0 ? -errno : 0;
}

static int send_channel(struct master *m, enum master_word word, int channel)
{
    return send_with(m->control, (char)word, channel, 0);
}

/* A packet of cap bytes at most, and the descriptor that came with it, or -1. Its size, 0 at the
 * end, or -errno. */
static ssize_t receive(int control, char *p, size_t cap, int *fd)
{
    struct iovec iov = {p, cap};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } space;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = space.space,
                         .msg_controllen = sizeof(space.space)};
    *fd = -1;
    ssize_t n = recvmsg(control, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    return n;
}

int master_receive(int control, enum master_word *word)
{
    char byte;
    int fd;
    ssize_t n = receive(control, &byte, 1, &fd);
    if (n <= 0)
        return n == 0 ? -ENOTCONN : (int)n;
    *word = (enum master_word)byte;
    if (byte >= 0 && byte < MASTER_WORDS)
        return fd < 0 ? -EMFILE : fd;
    if (fd >= 0)
        close(fd);
    return -EPROTO;
}

static int hand_over_spawner(struct master *m)
{
    int channel = spawner_channel(m->spawner.fd);
    int error = channel < 0 ? channel : send_channel(m, MASTER_SPAWNER, channel);
    if (error)
        say("cannot hand the spawner to the gateway", error);
    if (channel >= 0)
        close(channel);
    return error;
}

/* For a gateway that runs already. */
static int add_spawner(struct master *m)
{
    int error = start_spawner(m);
    return error || !m->gateway ? error : hand_over_spawner(m);
}

static void forget_spawner(struct master *m)
{
    if (m->spawner.fd >= 0)
        close(m->spawner.fd);
    m->spawner = (struct spawner){.fd = -1};
    orphans_adopt(&m->orphans, m->successor, now_ms());
}

static bool wants_spawner(const struct master *m)
{
    return m->spawner.fd < 0 && !m->is_stopping && m->jobs->definition(m->jobs->ctx, 0);
}

/* One that has died is replaced at once, unless it had just been started. */
static int64_t spawner_due_ms(const struct master *m)
{
    return wants_spawner(m) && m->gateway ? m->spawner_ms + SPAWNER_PAUSE_MS : INT64_MAX;
}

static void look_after_spawner(struct master *m)
{
    if (now_ms() >= spawner_due_ms(m) && add_spawner(m) == 0)
        say("the spawner died; started another", 0);
}

/* ---- the gateway ---- */

/* Signals stay blocked until the gateway looks for them: one that is passed on early must not kill
 * it. Those of a terminal come to the master, too, which passes them on. Of our death it hears by
 * the control socket, whoever it has become. */
static void run_gateway(struct master *m, int channel, int control)
{
    if (m->spawner.fd >= 0)
        close(m->spawner.fd);
    close(m->signals);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    const struct master_link link = {channel, control};
    exit(m->jobs->serve(m->jobs->ctx, &link));
}

/* Whoever is asked never waits for long for the other to take the answer. */
static void bound_sending(int fd)
{
    const struct timeval wait = {.tv_sec = ANSWER_MS / 1000};
    int size = CONTROL_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

static int start_gateway(struct master *m)
{
    int pair[2];
    int channel = m->spawner.fd < 0 ? -1 : spawner_channel(m->spawner.fd);
    if (channel < 0 && m->spawner.fd >= 0)
        return channel;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int error = -errno;
        if (channel >= 0)
            close(channel);
        return error;
    }
    fflush(NULL);
    pid_t pid = fork();
    int error = pid < 0 ? -errno : 0;
    if (pid == 0) {
        close(pair[0]);
        run_gateway(m, channel, pair[1]);
    }
    close(pair[1]);
    if (channel >= 0)
        close(channel);
    if (error) {
        close(pair[0]);
        return error;
    }
    bound_sending(pair[0]);
    m->control = pair[0];
    m->gateway = pid;
    m->started_ms = now_ms();
    m->has_served = false;
    return 0;
}

static int64_t gateway_due_ms(const struct master *m)
{
    return m->started_ms + m->pause_ms;
}

static void close_control(struct master *m)
{
    if (m->control >= 0)
        close(m->control);
    m->control = -1;
}

/* True: it is over, with this exit status. */
static bool gateway_ended(struct master *m, int status, int *exit_status)
{
    m->gateway = 0;
    close_control(m);
    bool crashed = WIFSIGNALED(status);
    if (!crashed || m->is_stopping || m->is_leaving) {
        *exit_status = crashed ? EXIT_FAILURE : WEXITSTATUS(status);
        return true;
    }
    m->jobs->drop(m->jobs->ctx, m->spawner.fd);
    m->pause_ms = pause_next_ms(m->pause_ms, now_ms() - m->started_ms, m->has_served);
    int64_t left_ms = gateway_due_ms(m) - now_ms();
    fprintf(stderr,
            "sluice: master: the gateway died of signal %d (%s); starting another in %d ms\n",
            WTERMSIG(status), strsignal(WTERMSIG(status)), left_ms > 0 ? (int)left_ms : 0);
    return false;
}

/* ---- the successor ---- */

static int ask(int control, enum question question)
{
    char byte = (char)question;
    return send(control, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int master_ask_upgrade(int control)
{
    return ask(control, ASK_UPGRADE);
}

int master_ask_give_up(int control)
{
    return ask(control, ASK_GIVE_UP);
}

int master_ask_spawner(int control)
{
    return ask(control, ASK_SPAWNER);
}

int master_ask_keep(int control, int channel)
{
    return send_with(control, (char)ASK_KEEP, channel, MSG_DONTWAIT);
}

static void start_successor(struct master *m)
{
    if (!m->gateway || m->is_stopping)
        return;
    int channel = handover_spawn(m->jobs->argv, &m->successor);
    int error = channel < 0 ? channel : send_channel(m, MASTER_SUCCESSOR, channel);
    if (error)
        say("cannot start another to take our place", error);
    if (channel >= 0)
        close(channel);
}

/* ---- definitions ---- */

/* One packet of the answer: 1, 0 when it is over, or -errno. */
static int hear_answer(int channel, char *p, const struct master_listener *l)
{
    ssize_t n = recv(channel, p, CONTROL_MAX, MSG_DONTWAIT);
    if (n <= 0)
        return n == 0 ? -ENOTCONN : -errno;
    switch ((enum answer)p[0]) {
    case ANSWER_DEFINITION:
        return l->on_definition(l->ctx, slice_of(p + 1, (size_t)n - 1)) ? 1 : -ESTALE;
    case ANSWER_DEFINED: return l->on_run_dir(l->ctx, slice_of(p + 1, (size_t)n - 1)) ? 0 : -ESTALE;
    case ANSWER_NOT_DEFINED: return -ECANCELED;
    }
    return -EPROTO;
}

static int hear_definitions(int channel, const struct master_listener *l)
{
    AUTO_FREE char *p = mem_alloc(CONTROL_MAX);
    int64_t until_ms = now_ms() + ANSWER_MS;
    for (int heard = 1;;) {
        struct pollfd wait = {.fd = channel, .events = POLLIN};
        int64_t left_ms = until_ms - now_ms();
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0)
            return -ETIMEDOUT;
        heard = hear_answer(channel, p, l);
        if (heard <= 0 && heard != -EAGAIN)
            return heard;
    }
}

/* Each question has a channel of its own: an answer that comes too late answers no other one. */
int master_ask_definitions(int control, const struct master_listener *l)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int error = send_with(control, (char)ASK_DEFINITIONS, ends[1], MSG_DONTWAIT);
    close(ends[1]);
    if (!error)
        error = hear_definitions(ends[0], l);
    close(ends[0]);
    return error;
}

static int send_answer(int channel, enum answer answer, const struct spawn_def *def)
{
    AUTO_FREE char *p = mem_alloc(CONTROL_MAX);
    struct message message = {.type = MESSAGE_DEFINE};
    size_t n = 0;
    p[0] = (char)answer;
    if (def) {
        message.def = *def;
        n = message_write(&message, p + 1, MESSAGE_MAX);
        if (!n)
            return -E2BIG;
    }
    return send(channel, p, 1 + n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* These were all. */
static int send_run_dir(int channel, struct slice path)
{
    char p[256];
    if (path.n >= sizeof(p))
        return -ENAMETOOLONG;
    p[0] = (char)ANSWER_DEFINED;
    memcpy(p + 1, path.p, path.n);
    return send(channel, p, 1 + path.n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void answer_definitions(struct master *m, int channel)
{
    const struct master_jobs *jobs = m->jobs;
    const struct spawn_def *def;
    bound_sending(channel);
    int error = jobs->redefine(jobs->ctx, m->spawner.fd);
    if (!error && wants_spawner(m))
        error = add_spawner(m);
    for (uint32_t i = 0; !error && (def = jobs->definition(jobs->ctx, i)); i++)
        error = send_answer(channel, ANSWER_DEFINITION, def);
    if (error)
        say("reload: cannot say what may be run", error);
    error = error ? send_answer(channel, ANSWER_NOT_DEFINED, NULL)
                  : send_run_dir(channel, slice_str(jobs->run_dir(jobs->ctx)));
    if (error)
        say("cannot answer the gateway", error);
    close(channel);
}

/* ---- sockets ---- */

/* The gateway waits until the channel closes: what is kept no more is closed by then. */
static void keep_sockets(struct master *m, int channel)
{
    struct handover next;
    int error = handover_keep(&next, channel);
    if (error) {
        say("cannot keep the gateway's sockets", error);
        return;
    }
    handover_close(m->jobs->sockets);
    *m->jobs->sockets = next;
    m->has_served = true;
    m->is_leaving = next.count == 0;
    if (!m->is_leaving)
        m->jobs->in_place(m->jobs->ctx, m->spawner.fd);
}

static void hear_gateway(struct master *m)
{
    char byte;
    int fd;
    ssize_t n = receive(m->control, &byte, 1, &fd);
    if (n != 1) {
        if (n != -EAGAIN && n != -EINTR) /* it is about to end */
            close_control(m);
        return;
    }
    if (fd >= 0 && byte == ASK_KEEP)
        keep_sockets(m, fd);
    else if (fd >= 0 && byte == ASK_DEFINITIONS)
        answer_definitions(m, fd);
    else if (fd >= 0)
        close(fd);
    else if (byte == ASK_UPGRADE)
        start_successor(m);
    else if (byte == ASK_GIVE_UP && m->successor)
        kill(m->successor, SIGTERM);
    else if (byte == ASK_SPAWNER && m->spawner.fd >= 0)
        hand_over_spawner(m);
}

/* ---- waiting ---- */

static bool reap(struct master *m, int *exit_status)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        orphans_forget(&m->orphans, pid);
        if (pid == m->spawner.pid)
            forget_spawner(m);
        else if (pid == m->successor)
            m->successor = 0;
        else if (pid == m->gateway && gateway_ended(m, status, exit_status))
            return true;
    }
    return false;
}

/* A gateway that is started again begins with what was in place, not with the file. */
static void pass_on(struct master *m, int signo)
{
    bool is_end = signo == SIGINT || signo == SIGQUIT;
    if (m->gateway)
        kill(m->gateway, is_end ? SIGTERM : signo);
    else if (signo == SIGHUP)
        m->owes_reload = true;
}

/* True: all is over. */
static bool on_signals(struct master *m, int *exit_status)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof(info)) == sizeof(info)) {
        int signo = (int)info.ssi_signo;
        if (signo == SIGCHLD && reap(m, exit_status))
            return true;
        if (signo == SIGTERM || signo == SIGINT || signo == SIGQUIT)
            m->is_stopping = true;
        if (signo != SIGCHLD)
            pass_on(m, signo);
        if (m->is_stopping && !m->gateway) {
            *exit_status = EXIT_SUCCESS;
            return true;
        }
    }
    return false;
}

static int watch_signals(struct master *m)
{
    static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals < 0 ? -errno : 0;
}

/* How long to wait for a signal: until what has died is to be started again, or what it has left
 * behind is to be ended. */
static int wait_ms(struct master *m)
{
    int64_t due_ms = orphans_due_ms(&m->orphans);
    int64_t start_ms = m->is_stopping ? INT64_MAX
                       : m->gateway   ? spawner_due_ms(m)
                                      : gateway_due_ms(m);
    due_ms = start_ms < due_ms ? start_ms : due_ms;
    if (due_ms == INT64_MAX)
        return -1;
    int64_t left_ms = due_ms - now_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

static void start_again(struct master *m)
{
    m->started_ms = now_ms(); /* also of one that cannot be started */
    int error = wants_spawner(m) ? start_spawner(m) : 0;
    if (!error)
        error = start_gateway(m);
    if (error) {
        m->pause_ms = pause_next_ms(m->pause_ms, 0, false);
        say("cannot start another gateway", error);
    } else if (m->owes_reload) {
        m->owes_reload = false;
        kill(m->gateway, SIGHUP);
    }
}

/* Without a channel it ends what runs, then itself. One that hangs cannot. */
static void end_spawner(struct master *m)
{
    int64_t until_ms = now_ms() + SPAWNER_END_MS;
    const struct timespec pause = {.tv_nsec = SPAWNER_LOOK_MS * 1000000L};
    pid_t pid = m->spawner.pid;
    sigset_t ended;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    close(m->spawner.fd);
    m->spawner.fd = -1;
    pid_t reaped;
    while ((reaped = waitpid(pid, NULL, WNOHANG)) == 0 && now_ms() < until_ms)
        sigtimedwait(&ended, NULL, &pause);
    if (reaped != 0)
        return;
    say("the spawner does not end: killing it", 0);
    kill(pid, SIGKILL);
    sigtimedwait(&ended, NULL, &pause);
    forget_spawner(m);
}

int master_run(const struct master_jobs *jobs)
{
    struct master m = {.jobs = jobs, .control = -1, .spawner = {.fd = -1}};
    int status = EXIT_FAILURE;
    int error = watch_signals(&m);
    if (!error)
        error = orphans_expect();
    if (!error && wants_spawner(&m))
        error = start_spawner(&m);
    if (!error)
        error = start_gateway(&m);
    if (error) {
        say("cannot start", error);
        return EXIT_FAILURE;
    }
    jobs->started(jobs->ctx);
    for (bool over = false; !over;) {
        struct pollfd p[2] = {{.fd = m.signals, .events = POLLIN},
                              {.fd = m.control, .events = POLLIN}};
        poll(p, 2, wait_ms(&m));
        orphans_kill(&m.orphans, now_ms());
        if (!m.gateway && !m.is_stopping && now_ms() >= gateway_due_ms(&m))
            start_again(&m);
        if (p[1].revents)
            hear_gateway(&m);
        over = on_signals(&m, &status);
        if (!over)
            look_after_spawner(&m);
    }
    m.is_stopping = true;
    if (m.spawner.fd >= 0)
        end_spawner(&m);
    orphans_kill(&m.orphans, INT64_MAX);
    orphans_fini(&m.orphans);
    return status;
}
