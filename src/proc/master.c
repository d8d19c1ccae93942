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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/handover.h"
#include "proc/spawner.h"

enum { PAUSE_MIN_MS = 500, PAUSE_MAX_MS = 30000, HEALTHY_MS = 10000 };

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

int master_receive(int control, enum master_word *word)
{
    char byte;
    struct iovec iov = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } space;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = space.space,
                         .msg_controllen = sizeof(space.space)};
    ssize_t n = recvmsg(control, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n <= 0)
        return n == 0 ? -ENOTCONN : -errno;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)) ||
        (unsigned char)byte >= MASTER_WORDS)
        return -EPROTO;
    *word = (enum master_word)byte;
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
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

int master_ask_upgrade(int control)
{
    char byte = 0;
    return send(control, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
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

static void hear_gateway(struct master *m)
{
    char byte;
    if (recv(m->control, &byte, 1, MSG_DONTWAIT) == 1)
        start_successor(m);
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
