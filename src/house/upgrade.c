/* SPDX-License-Identifier: MIT */
#include "house/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/handover.h"

/* why: NULL if the other serves. */
static void end(struct upgrade *u, const char *why)
{
    u->is_under_way = false;
    timer_clear(&u->deadline);
    loop_close(u->loop, &u->channel);
    u->jobs.done(u->jobs.ctx, why);
}

static void on_deadline(struct timer *t)
{
    struct upgrade *u = container_of(t, struct upgrade, deadline);
    if (u->child)
        kill(u->child, SIGTERM);
    else
        u->jobs.give_up(u->jobs.ctx);
    end(u, "it did not serve in time (upgrade-timeout)");
}

static void on_news(struct watch *w, uint32_t events)
{
    struct upgrade *u = container_of(w, struct upgrade, channel);
    char words[HANDOVER_WORDS_MAX];
    (void)events;
    switch (handover_listen(w->fd, words, sizeof(words))) {
    case HANDOVER_NOTHING: return;
    case HANDOVER_SERVES: end(u, NULL); return;
    case HANDOVER_FAILED: end(u, words); return;
    case HANDOVER_ENDED: end(u, "it ended before it served: it has said why on stderr"); return;
    }
}

void upgrade_init(struct upgrade *u, struct loop *loop, const struct upgrade_jobs *jobs)
{
    *u = (struct upgrade){.loop = loop, .jobs = *jobs, .channel = {.fd = -1, .on_event = on_news}};
    timer_init(&u->deadline, on_deadline);
}

void upgrade_fini(struct upgrade *u)
{
    timer_fini(u->loop, &u->deadline);
    loop_close(u->loop, &u->channel);
}

void upgrade_expect(struct upgrade *u, uint32_t timeout_ms)
{
    u->is_under_way = true;
    timer_set(u->loop, &u->deadline, timeout_ms);
}

void upgrade_use(struct upgrade *u, int channel)
{
    if (!u->is_under_way || u->channel.fd >= 0) { /* too late */
        close(channel);
        return;
    }
    u->channel.fd = channel;
    int error = loop_watch(u->loop, &u->channel, EPOLLIN);
    if (!error)
        error = u->jobs.send(u->jobs.ctx, channel);
    if (!error)
        error = handover_send_end(channel);
    if (error && error != -EPIPE) /* else it has ended, and may have said why */
        end(u, strerror(-error));
}

void upgrade_start(struct upgrade *u, char *const argv[], uint32_t timeout_ms)
{
    int channel = handover_spawn(argv, &u->child);
    upgrade_expect(u, timeout_ms);
    if (channel < 0)
        end(u, strerror(-channel));
    else
        upgrade_use(u, channel);
}

void upgrade_reap(struct upgrade *u)
{
    if (u->child && waitpid(u->child, NULL, WNOHANG) == u->child)
        u->child = 0;
}
