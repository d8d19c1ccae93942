/* SPDX-License-Identifier: MIT */
#include "proc/spawn.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"

enum { ANSWER_MAX = 256 };

void spawn_child_init(struct spawn_child *c)
{
    *c = (struct spawn_child){.state = CHILD_NONE};
    list_init(&c->node);
}

static struct spawn_child *find(struct spawn *s, uint64_t id)
{
    list_each (it, &s->children) {
        struct spawn_child *c = container_of(it, struct spawn_child, node);
        if (c->id == id)
            return c;
    }
    return NULL;
}

static void send_signal(struct spawn *s, uint64_t id, int signo)
{
    struct message m = {.type = MESSAGE_SIGNAL, .signal = {.id = id, .signo = (uint32_t)signo}};
    int error = channel_send(&s->channel, &m, NULL, 0);
    if (error && error != -ENOTCONN) /* then it has gone with the spawner */
        log_error(0, "cannot send a signal to a process: %s", strerror(-error));
}

/* ---- what the spawner says ---- */

static void on_started(struct spawn *s, const struct spawn_started *m)
{
    struct spawn_child *c = find(s, m->id);
    if (!c || c->state != CHILD_STARTING)
        return;
    c->pid = m->pid;
    c->state = m->pid ? CHILD_RUNNING : CHILD_NONE;
    if (m->error)
        list_remove(&c->node);
    c->on_started(c, m->error, m->stage);
}

static void end_child(struct spawn_child *c, const struct spawn_exit *exit)
{
    list_remove(&c->node);
    c->state = CHILD_NONE;
    c->on_exited(c, exit);
}

static void on_exited(struct spawn *s, const struct spawn_exited *m)
{
    struct spawn_child *c = find(s, m->id);
    struct spawn_exit exit = {
        .status = m->status, .signo = m->signo, .cpu_us = m->cpu_us, .rss_bytes = m->rss_bytes};
    if (c && c->state == CHILD_RUNNING)
        end_child(c, &exit);
}

static void on_message(struct channel *channel, const struct message *m, struct slice packet,
                       struct channel_fds *fds)
{
    struct spawn *s = container_of(channel, struct spawn, channel);
    (void)packet;
    (void)fds;
    if (m->type == MESSAGE_STARTED)
        on_started(s, &m->started);
    else if (m->type == MESSAGE_EXITED)
        on_exited(s, &m->exited);
}

/* A callback may start, abandon or free any child, so the list is begun again after each. */
static void on_closed(struct channel *channel, const char *why)
{
    struct spawn *s = container_of(channel, struct spawn, channel);
    static const struct spawn_exit lost = {.status = -1, .lost = true};
    struct list *node;
    log_error(0, "the spawner is gone (%s): its processes end", why);
    while ((node = list_first(&s->children)))
        end_child(container_of(node, struct spawn_child, node), &lost);
    if (s->on_lost)
        s->on_lost(s);
}

/* ---- life ---- */

int spawn_init(struct spawn *s, struct loop *l, int fd)
{
    *s = (struct spawn){0};
    list_init(&s->children);
    channel_init(&s->channel, l, ANSWER_MAX);
    s->channel.on_message = on_message;
    s->channel.on_closed = on_closed;
    return fd < 0 ? 0 : channel_open(&s->channel, fd);
}

void spawn_fini(struct spawn *s)
{
    struct list *node;
    while ((node = list_shift(&s->children)))
        container_of(node, struct spawn_child, node)->state = CHILD_NONE;
    channel_fini(&s->channel);
}

bool spawn_is_connected(const struct spawn *s)
{
    return channel_is_open(&s->channel);
}

int spawn_reconnect(struct spawn *s, int fd)
{
    if (spawn_is_connected(s)) { /* the old one has not been missed yet */
        channel_close(&s->channel);
        on_closed(&s->channel, "replaced");
    }
    return channel_open(&s->channel, fd);
}

/* ---- what it is told ---- */

int spawn_start(struct spawn *s, struct spawn_child *c, struct spawn_order *order, const int *fds)
{
    struct message m = {.type = MESSAGE_START};
    order->id = ++s->last_id;
    m.order = *order;
    int error = channel_send(&s->channel, &m, fds, order->fd_count);
    if (error)
        return error;
    c->id = order->id;
    c->pid = 0;
    c->state = CHILD_STARTING;
    list_append(&s->children, &c->node);
    return 0;
}

/* The spawner does one thing after the other, so that the signal finds the process started. */
void spawn_signal(struct spawn *s, struct spawn_child *c, int signo)
{
    if (c->state != CHILD_NONE)
        send_signal(s, c->id, signo);
}

void spawn_abandon(struct spawn *s, struct spawn_child *c)
{
    spawn_signal(s, c, SIGKILL);
    list_remove(&c->node);
    c->state = CHILD_NONE;
}
