/* SPDX-License-Identifier: MIT */
#include "core/worker.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/client.h"
#include "core/exchange.h"

enum { RING_RECORDS = 4096, SUMMARY_MS = 1000 };

struct slice worker_date(struct worker *w)
{
    int64_t now_s = loop_wall_s();
    if (now_s != w->date_s) {
        w->date_s = now_s;
        date_put(w->date, now_s);
    }
    return slice_of(w->date, DATE_LEN);
}

static void on_summary(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, summary);
    log_summarise(false);
    timer_set(&w->loop, t, SUMMARY_MS);
}

int worker_init(struct worker *w, struct gateway *g, const struct snapshot *snapshot,
                uint32_t index)
{
    const struct gateway_conf *conf = &snapshot->gateway;
    *w = (struct worker){.index = index, .gateway = g, .snapshot = snapshot};
    w->limits = (struct head_limits){.head_bytes = (uint32_t)conf->head_bytes,
                                     .target_bytes = (uint32_t)conf->target_bytes,
                                     .fields = (uint16_t)conf->fields};
    list_init(&w->clients);
    pipe_pool_init(&w->pipes);
    ring_init(&w->ring, RING_RECORDS);
    int error = loop_init(&w->loop);
    timer_init(&w->summary, on_summary);
    if (!error)
        timer_set(&w->loop, &w->summary, SUMMARY_MS);
    return error;
}

void worker_fini(struct worker *w)
{
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_stop(&w->listeners[i]);
    while (w->spare) {
        struct exchange *x = w->spare;
        w->spare = x->next_spare;
        free(x);
    }
    free(w->listeners);
    timer_fini(&w->loop, &w->summary);
    pipe_pool_fini(&w->pipes);
    ring_fini(&w->ring);
    loop_fini(&w->loop);
}

static void on_accept(void *ctx, int fd, const struct sockaddr *addr, socklen_t len)
{
    client_accept(ctx, fd, addr, len);
}

int worker_listen(struct worker *w, int fd)
{
    if (!w->listeners) /* at its full size: epoll keeps pointers into it */
        w->listeners = mem_zalloc(w->snapshot->listen_count * sizeof(*w->listeners));
    return listener_start(&w->listeners[w->listener_count++], &w->loop, fd, on_accept, w);
}

void worker_client_joined(struct worker *w)
{
    if (++w->client_count != w->client_limit)
        return;
    log_warn(0, "worker %u: %u client connections, the limit: others wait", w->index,
             w->client_count);
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_pause(&w->listeners[i]);
}

void worker_client_left(struct worker *w)
{
    if (w->client_count-- == w->client_limit)
        for (uint32_t i = 0; i < w->listener_count; i++)
            listener_resume(&w->listeners[i]);
    if (w->stopping && w->client_count == 0)
        loop_stop(&w->loop);
}

static void on_stop(struct post *p)
{
    struct worker *w = container_of(p, struct worker, stop_post);
    w->stopping = true;
    for (uint32_t i = 0; i < w->listener_count; i++)
        listener_stop(&w->listeners[i]);
    clients_stop(w);
    if (w->client_count == 0)
        loop_stop(&w->loop);
}

static void on_kill(struct post *p)
{
    struct worker *w = container_of(p, struct worker, kill_post);
    clients_kill(w);
    loop_stop(&w->loop);
}

void worker_stop(struct worker *w)
{
    w->stop_post.run = on_stop;
    loop_post(&w->loop, &w->stop_post);
}

void worker_kill(struct worker *w)
{
    w->kill_post.run = on_kill;
    loop_post(&w->loop, &w->kill_post);
}
