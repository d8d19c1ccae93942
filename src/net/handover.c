/* SPDX-License-Identifier: MIT */
#include "net/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

extern char **environ;

/* A message is a letter and text: 'L' name, with sockets; 'E'nd; 'S'erving; 'F'ailed why. */
enum { FDS_MAX = 128, GROUPS_MAX = 4096, SECONDS_MAX = 10, KEEP_SECONDS_MAX = 2, AWAIT_MS = 5000 };
static const char variable[] = "SLUICE_HANDOVER";

union fd_space {
    struct cmsghdr header;
    char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

/* ---- messages ---- */

static int send_message(int channel, char kind, struct slice text, const int *fds, uint32_t count)
{
    union fd_space control = {0};
    struct iovec iov[2] = {{&kind, 1}, {(void *)(uintptr_t)text.p, text.n}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = text.n ? 2 : 1};
    if (count) {
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    return sendmsg(channel, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

struct message {
    char kind;
    struct slice text;
    int fds[FDS_MAX];
    uint32_t count;
    char memory[HANDOVER_WORDS_MAX + 1];
};

/* 0 or -errno; -ENOTCONN: the other end is gone. */
static int receive_message(int channel, struct message *m, int flags)
{
    union fd_space control;
    struct iovec iov = {m->memory, sizeof(m->memory)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | flags);
    m->count = 0;
    if (n <= 0)
        return n == 0 ? -ENOTCONN : -errno;
    m->kind = m->memory[0];
    m->text = slice_of(m->memory + 1, (size_t)n - 1);
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        m->count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(m->fds, CMSG_DATA(c), m->count * sizeof(int));
    }
    return 0;
}

/* ---- the old program ---- */

static void set_patience(int channel, int seconds)
{
    const struct timeval tv = {.tv_sec = seconds};
    setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* The environment, with what names the channel. To be freed, as is its last string. */
static char **environment_with(int channel)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = mem_alloc((n + 2) * sizeof(*env));
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], variable, sizeof(variable) - 1) != 0)
            env[kept++] = environ[i];
    char *last = mem_alloc(sizeof(variable) + NUM_DEC_MAX + 1);
    snprintf(last, sizeof(variable) + NUM_DEC_MAX + 1, "%s=%d", variable, channel);
    env[kept++] = last;
    env[kept] = NULL;
    return env;
}

static void free_environment(char **env)
{
    char **last = env;
    while (last[1])
        last++;
    free(*last);
    free(env);
}

/* Not fork(): a gateway has threads. Signals are as at our own start. */
static int start(char *const argv[], int channel, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, ignored;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel, channel); /* no longer close-on-exec */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    char **env = environment_with(channel);
    int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, env);
    free_environment(env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

int handover_spawn(char *const argv[], pid_t *pid)
{
    int ends[2];
    *pid = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    set_patience(ends[0], SECONDS_MAX);
    int error = start(argv, ends[1], pid);
    if (error) {
        char words[HANDOVER_NAME_MAX];
        int n =
            snprintf(words, sizeof(words), "cannot start %.400s: %s", argv[0], strerror(-error));
        *pid = 0;
        error = send_message(ends[1], 'F', slice_of(words, (size_t)n), NULL, 0);
        (void)error; /* then it has ended without a word */
    }
    close(ends[1]);
    return ends[0];
}

int handover_send(int channel, struct slice name, const int *fds, uint32_t count)
{
    int error = name.n > HANDOVER_NAME_MAX ? -ENAMETOOLONG : 0;
    for (uint32_t sent = 0; !error && sent < count; sent += FDS_MAX) {
        uint32_t n = count - sent < FDS_MAX ? count - sent : FDS_MAX;
        error = send_message(channel, 'L', name, fds + sent, n);
    }
    return error;
}

int handover_send_end(int channel)
{
    return send_message(channel, 'E', SLICE_NONE, NULL, 0);
}

int handover_pair(int *theirs)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    set_patience(ends[0], KEEP_SECONDS_MAX);
    *theirs = ends[1];
    return ends[0];
}

int handover_await(int channel)
{
    struct pollfd closed = {.fd = channel, .events = POLLIN};
    return poll(&closed, 1, AWAIT_MS) > 0 ? 0 : -ETIMEDOUT;
}

enum handover_news handover_listen(int channel, char *words, size_t room)
{
    struct message m;
    int error = receive_message(channel, &m, MSG_DONTWAIT);
    if (error == -ECONNRESET) /* it has ended and left sockets unread; what it said comes behind */
        error = receive_message(channel, &m, MSG_DONTWAIT);
    *words = '\0';
    if (error)
        return error == -EAGAIN || error == -EINTR ? HANDOVER_NOTHING : HANDOVER_ENDED;
    for (uint32_t i = 0; i < m.count; i++)
        close(m.fds[i]);
    if (m.kind == 'S')
        return HANDOVER_SERVES;
    snprintf(words, room, SLICE_FMT, SLICE_ARG(m.text));
    return HANDOVER_FAILED;
}

/* ---- the new program ---- */

void handover_open(struct handover *h)
{
    const char *text = getenv(variable);
    uint64_t fd;
    *h = (struct handover){.channel = -1};
    if (text && num_dec(slice_str(text), &fd) && fd <= INT32_MAX &&
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
        h->channel = (int)fd;
    unsetenv(variable);
    if (h->channel >= 0)
        set_patience(h->channel, SECONDS_MAX);
}

static void close_fds(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

/* A name may come more than once in a row, where its sockets are many. */
static void add_fds(struct handover *h, const struct message *m, bool goes_on)
{
    if (!goes_on) {
        h->groups = mem_grow(h->groups, h->count + 1, sizeof(*h->groups));
        h->groups[h->count++] = (struct handover_group){.name = mem_dup(m->text.p, m->text.n)};
    }
    struct handover_group *g = &h->groups[h->count - 1];
    g->fds = mem_grow(g->fds, g->count + m->count, sizeof(*g->fds));
    memcpy(g->fds + g->count, m->fds, m->count * sizeof(int));
    g->count += m->count;
}

int handover_receive(struct handover *h)
{
    struct message m;
    uint32_t before = 0;
    while (handover_is_open(h)) {
        int error = receive_message(h->channel, &m, 0);
        bool is_group = !error && m.kind == 'L' && m.count && h->count < GROUPS_MAX;
        if (is_group) {
            bool goes_on =
                before == FDS_MAX && slice_eq(slice_str(h->groups[h->count - 1].name), m.text);
            before = m.count;
            add_fds(h, &m, goes_on);
            continue;
        }
        close_fds(m.fds, m.count);
        if (error || m.kind != 'E')
            return error ? error : -EPROTO;
        return 0;
    }
    return 0;
}

int handover_keep(struct handover *h, int channel)
{
    *h = (struct handover){.channel = channel};
    set_patience(channel, KEEP_SECONDS_MAX);
    int error = handover_receive(h);
    if (error) {
        handover_close(h);
        return error;
    }
    close(channel);
    h->channel = -1;
    return 0;
}

struct handover_group handover_take(struct handover_group *group)
{
    struct handover_group taken = *group;
    free(group->name);
    *group = (struct handover_group){.name = NULL};
    taken.name = NULL;
    return taken;
}

int handover_say_serving(struct handover *h)
{
    return handover_is_open(h) ? send_message(h->channel, 'S', SLICE_NONE, NULL, 0) : 0;
}

void handover_say_failed(struct handover *h, struct slice words)
{
    if (!handover_is_open(h))
        return;
    int error = send_message(h->channel, 'F', slice_first(words, HANDOVER_WORDS_MAX), NULL, 0);
    (void)error; /* nobody hears us */
}

void handover_close(struct handover *h)
{
    if (handover_is_open(h))
        close(h->channel);
    for (uint32_t i = 0; i < h->count; i++) {
        close_fds(h->groups[i].fds, h->groups[i].count);
        free(h->groups[i].fds);
        free(h->groups[i].name);
    }
    free(h->groups);
    *h = (struct handover){.channel = -1};
}
