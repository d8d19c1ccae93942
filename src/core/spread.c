/* SPDX-License-Identifier: MIT */
#include "core/spread.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/client.h"
#include "core/worker.h"
#include "net/tls.h"

/* Handing over costs two system calls: not for a difference that the next connection may even out,
 * nor for one that hardly counts. Each look at another worker's counters is a cache line from
 * another core. */
enum { SLACK = 1, SLACK_PART = 8, LOOKS = 8 };

/* A connection on its way to another worker. */
struct passing {
    struct post post;
    struct worker *worker;
    struct client_way way;  /* with a reference on tls; conf is found where it arrives */
    struct address address; /* of the listener */
    int fd;
    socklen_t len;
    struct sockaddr_storage addr;
};

static uint64_t clients_of(const struct worker *w)
{
    uint64_t left = counter_get(&w->stats.clients_left); /* first: never more than joined */
    uint64_t arriving = atomic_load_explicit(&w->arriving, memory_order_relaxed);
    return arriving + counter_get(&w->stats.clients_joined) - left;
}

/* The one with the fewest of some others, who take turns in being looked at. */
static struct worker *least_busy(struct worker *w)
{
    struct worker *all = w - w->index, *least = w;
    uint64_t own = clients_of(w), fewest = own;
    uint32_t others = w->worker_count - 1;
    for (uint32_t i = 0; i < others && i < LOOKS; i++) {
        w->spread_at = (w->spread_at + 1) % others;
        struct worker *other = &all[w->spread_at + (w->spread_at >= w->index)];
        uint64_t count = clients_of(other);
        if (count < fewest) {
            fewest = count;
            least = other;
        }
    }
    return fewest + SLACK + own / SLACK_PART < own ? least : w;
}

static void on_arrival(struct post *post)
{
    struct passing *p = container_of(post, struct passing, post);
    struct worker *w = p->worker;
    atomic_fetch_sub_explicit(&w->arriving, 1, memory_order_relaxed);
    const struct snapshot *s = w->snapshot;
    p->way.conf = listen_conf_find(s->listens, s->listen_count, &p->address);
    client_accept(w, &p->way, p->fd, (const struct sockaddr *)&p->addr, p->len);
    if (w->stopping)
        clients_stop(w);
    tls_server_unref(p->way.tls);
    free(p);
}

static void hand_over(struct worker *from, struct worker *to, struct passing passing)
{
    struct passing *p = mem_alloc(sizeof(*p));
    *p = passing;
    p->post.run = on_arrival;
    p->worker = to;
    p->way.stats += (ptrdiff_t)to->index - (ptrdiff_t)from->index;
    if (p->way.tls)
        tls_server_ref(p->way.tls);
    atomic_fetch_add_explicit(&to->arriving, 1, memory_order_relaxed);
    loop_post(&to->loop, &p->post);
}

void spread_accept(struct worker *w, const struct client_way *way, const struct address *address,
                   int fd, const struct sockaddr *addr, socklen_t len)
{
    struct worker *least = w->stopping ? w : least_busy(w);
    if (least == w) {
        client_accept(w, way, fd, addr, len);
        return;
    }
    struct passing p = {.way = *way, .address = *address, .fd = fd, .len = len};
    memcpy(&p.addr, addr, len < sizeof(p.addr) ? len : sizeof(p.addr));
    hand_over(w, least, p);
}
