/* SPDX-License-Identifier: MIT */
#include "proc/master.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "net/handover.h"
#include "proc/spawner.h"

enum { PAUSE_MIN_MS = 500, PAUSE_MAX_MS = 30000, HEALTHY_MS = 10000 };
enum { ANSWER_MS = 5000, CONTROL_BUFFER = 208 * 1024, CONTROL_MAX = 1 + MESSAGE_MAX };

/* What the gateway asks. */
enum question { ASK_UPGRADE, ASK_DEFINITIONS };

struct master {
    const struct master_jobs *jobs;
    struct spawner spawner;
    pid_t gateway; /* 0: none runs */
    int control;   /* our end */
    int signals;   /* signalfd */
    sigset_t old_mask;
    int64_t started_ms;
    int pause_ms;
    bool is_stopping;
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
    if (!error)
        error = m->jobs->define(m->jobs->ctx, m->spawner.fd);
    if (error)
        say("cannot start the spawner", error);
    return error;
}

static int send_channel(struct master *m, enum master_word word, int channel)
{
    char byte = (char)word;
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
    return sendmsg(m->control, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
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
    /* What is left of an answer that came too late. */
    while (n > 0 && fd < 0 && byte >= MASTER_DEFINITION && byte < MASTER_WORDS)
        n = receive(control, &byte, 1, &fd);
    if (n <= 0)
        return n == 0 ? -ENOTCONN : (int)n;
    *word = (enum master_word)byte;
    if (fd >= 0 && byte >= 0 && byte < MASTER_DEFINITION)
        return fd;
    if (fd >= 0)
        close(fd);
    return -EPROTO;
}

static void replace_spawner(struct master *m)
{
    close(m->spawner.fd);
    m->spawner = (struct spawner){.fd = -1};
    if (m->is_stopping || start_spawner(m) < 0)
        return;
    say("the spawner died; started another", 0);
    int channel = m->gateway ? spawner_channel(m->spawner.fd) : -1;
    if (channel >= 0) {
        int error = send_channel(m, MASTER_SPAWNER, channel);
        if (error)
            say("cannot hand it to the gateway", error);
        close(channel);
    }
}

/* ---- the gateway ---- */

static void run_gateway(struct master *m, int channel, int control)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close(m->spawner.fd);
    close(m->signals);
    sigprocmask(SIG_SETMASK, &m->old_mask, NULL);
    const struct master_link link = {channel, control};
    exit(m->jobs->serve(m->jobs->ctx, &link));
}

/* Whoever is asked never waits for long for the other to take the answer. */
static void bound_control(int fd)
{
    const struct timeval wait = {.tv_sec = ANSWER_MS / 1000};
    int size = CONTROL_BUFFER;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
}

static int start_gateway(struct master *m)
{
    int pair[2];
    int channel = spawner_channel(m->spawner.fd);
    if (channel < 0)
        return channel;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        run_gateway(m, channel, pair[1]);
    }
    close(pair[1]);
    close(channel);
    if (pid < 0) {
        close(pair[0]);
        return -errno;
    }
    bound_control(pair[0]);
    m->control = pair[0];
    m->gateway = pid;
    m->started_ms = now_ms();
    return 0;
}

/* True: it is over, with this exit status. */
static bool gateway_ended(struct master *m, int status, int *exit_status)
{
    m->gateway = 0;
    close(m->control);
    bool crashed = WIFSIGNALED(status);
    if (!crashed || m->is_stopping) {
        *exit_status = crashed ? EXIT_FAILURE : WEXITSTATUS(status);
        return true;
    }
    fprintf(stderr,
            "sluice: master: the gateway died of signal %d (%s); starting another in %d ms\n",
            WTERMSIG(status), strsignal(WTERMSIG(status)), m->pause_ms);
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

static void start_successor(struct master *m)
{
    pid_t pid;
    if (!m->gateway || m->is_stopping)
        return;
    int channel = handover_spawn(m->jobs->argv, &pid);
    int error = channel < 0 ? channel : send_channel(m, MASTER_SUCCESSOR, channel);
    if (error)
        say("cannot start another to take our place", error);
    if (channel >= 0)
        close(channel);
}

/* ---- definitions ---- */

/* One packet of the answer: 1, 0 when it is over, or -errno. */
static int hear_answer(int control, char *p, const struct master_listener *l)
{
    int fd;
    ssize_t n = receive(control, p, CONTROL_MAX, &fd);
    if (n <= 0)
        return n == 0 ? -ENOTCONN : (int)n;
    switch ((enum master_word)p[0]) {
    case MASTER_SPAWNER:
    case MASTER_SUCCESSOR:
        if (fd >= 0)
            l->on_channel(l->ctx, (enum master_word)p[0], fd);
        return 1;
    case MASTER_DEFINITION:
        return l->on_definition(l->ctx, slice_of(p + 1, (size_t)n - 1)) ? 1 : -ESTALE;
    case MASTER_DEFINED: return 0;
    case MASTER_NOT_DEFINED: return -ECANCELED;
    case MASTER_WORDS: break;
    }
    return -EPROTO;
}

int master_ask_definitions(int control, const struct master_listener *l)
{
    AUTO_FREE char *p = mem_alloc(CONTROL_MAX);
    int64_t until_ms = now_ms() + ANSWER_MS;
    int heard = ask(control, ASK_DEFINITIONS);
    if (heard < 0)
        return heard;
    for (heard = 1; heard > 0 || heard == -EAGAIN;) {
        struct pollfd wait = {.fd = control, .events = POLLIN};
        int64_t left_ms = until_ms - now_ms();
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0)
            return -ETIMEDOUT;
        heard = hear_answer(control, p, l);
    }
    return heard;
}

static int send_word(struct master *m, enum master_word word, const struct spawn_def *def)
{
    AUTO_FREE char *p = mem_alloc(CONTROL_MAX);
    struct message message = {.type = MESSAGE_DEFINE};
    size_t n = 0;
    p[0] = (char)word;
    if (def) {
        message.def = *def;
        n = message_write(&message, p + 1, MESSAGE_MAX);
        if (!n)
            return -E2BIG;
    }
    return send(m->control, p, 1 + n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void answer_definitions(struct master *m)
{
    const struct master_jobs *jobs = m->jobs;
    const struct spawn_def *def;
    int error = m->spawner.fd < 0 ? -ENOTCONN : jobs->redefine(jobs->ctx, m->spawner.fd);
    for (uint32_t i = 0; !error && (def = jobs->definition(jobs->ctx, i)); i++)
        error = send_word(m, MASTER_DEFINITION, def);
    if (error)
        say("reload: cannot say what may be run", error);
    error = send_word(m, error ? MASTER_NOT_DEFINED : MASTER_DEFINED, NULL);
    if (error)
        say("cannot answer the gateway", error);
}

static void hear_gateway(struct master *m)
{
    char byte;
    if (recv(m->control, &byte, 1, MSG_DONTWAIT) != 1)
        return;
    if (byte == ASK_UPGRADE)
        start_successor(m);
    else if (byte == ASK_DEFINITIONS)
        answer_definitions(m);
}

/* ---- waiting ---- */

static bool reap(struct master *m, int *exit_status)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == m->spawner.pid)
            replace_spawner(m);
        else if (pid == m->gateway && gateway_ended(m, status, exit_status))
            return true;
    }
    return false;
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
        if (signo == SIGUSR2)
            start_successor(m);
        else if (signo != SIGCHLD && m->gateway)
            kill(m->gateway, signo);
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
    sigprocmask(SIG_BLOCK, &set, &m->old_mask);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals < 0 ? -errno : 0;
}

/* How long to wait for a signal: until a gateway that died is to be started again. */
static int wait_ms(struct master *m)
{
    if (m->gateway || m->is_stopping)
        return -1;
    int64_t due_ms = m->started_ms + m->pause_ms;
    int64_t left_ms = due_ms - now_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

static int start_again(struct master *m)
{
    bool was_healthy = now_ms() - m->started_ms > HEALTHY_MS + m->pause_ms;
    m->pause_ms = was_healthy ? PAUSE_MIN_MS : m->pause_ms * 2;
    if (m->pause_ms > PAUSE_MAX_MS)
        m->pause_ms = PAUSE_MAX_MS;
    if (m->spawner.fd < 0 && start_spawner(m) < 0)
        return -ECHILD;
    return start_gateway(m);
}

int master_run(const struct master_jobs *jobs)
{
    struct master m = {.jobs = jobs, .pause_ms = PAUSE_MIN_MS};
    int status = EXIT_FAILURE;
    int error = watch_signals(&m);
    if (!error)
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
                              {.fd = m.gateway ? m.control : -1, .events = POLLIN}};
        if (poll(p, 2, wait_ms(&m)) == 0 && !m.gateway)
            start_again(&m);
        if (p[1].revents & POLLIN)
            hear_gateway(&m);
        over = on_signals(&m, &status);
    }
    m.is_stopping = true;
    close(m.spawner.fd); /* the last channel: it ends what runs, then itself */
    waitpid(m.spawner.pid, NULL, 0);
    return status;
}
