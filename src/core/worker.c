/* SPDX-License-Identifier: MIT */
#include "core/worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/cgi_launch.h"
#include "core/client.h"
#include "core/exchange.h"
#include "core/spread.h"
#include "net/listener.h"
#include "net/tls.h"

enum { RING_RECORDS = 4096, SUMMARY_MS = 1000, GIVE_BACK = 4 << 20 };

struct slice worker_date(struct worker *w)
{
    int64_t now_s = loop_wall_s();
    if (now_s != w->date_s) {
        w->date_s = now_s;
        date_put(w->date, now_s);
    }
    return slice_of(w->date, DATE_LEN);
}

/* What a burst has left and nobody has wanted for a second, little by little: the kernel may take
 * its time for a page. */
static void give_back(struct loop *l)
{
    struct buf_pool *bufs = &l->bufs;
    for (size_t given = 0; given < GIVE_BACK && bufs->kept_bytes > LOOP_BUFS_KEEP;) {
        size_t n = buf_pool_give_back(bufs);
        if (!n)
            break;
        given += n;
        if (loop_turn_is_long(l))
            break;
    }
    buf_pool_look(bufs);
}

static void on_summary(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, summary);
    log_summarise(false);
    give_back(&w->loop);
    timer_set(&w->loop, t, SUMMARY_MS);
}

int worker_init(struct worker *w, struct loop *main_loop, uint32_t index, uint32_t count)
{
    *w = (struct worker){.index = index, .worker_count = count, .main_loop = main_loop};
    list_init(&w->listeners);
    list_init(&w->clients);
    list_init(&w->programs);
    deferred_init(&w->stop_more, NULL);
    pipe_pool_init(&w->pipes);
    ring_init(&w->ring, RING_RECORDS);
    int error = loop_init(&w->loop);
    file_cache_init(&w->files, &w->loop);
    timer_init(&w->summary, on_summary);
    int unconnected = spawn_init(&w->spawn, &w->loop, -1);
    if (!error)
        error = unconnected;
    if (!error)
        timer_set(&w->loop, &w->summary, SUMMARY_MS);
    return error;
}

/* ---- listeners ---- */

struct worker_listener {
    struct list node;
    uint32_t id;
    struct worker *worker;
    struct listener_stats *stats;
    struct tls_server *tls; /* NULL: plain */
    struct address address; /* of its line in the configuration */
    struct listener listener;
    struct deferred free;
};

static struct worker_listener *listener_of(struct list *node)
{
    return container_of(node, struct worker_listener, node);
}

static void free_listener(struct deferred *d)
{
    struct worker_listener *l = container_of(d, struct worker_listener, free);
    tls_server_unref(l->tls);
    free(l);
}

static void on_accept(void *ctx, int fd, const struct sockaddr *addr, socklen_t len)
{
    const struct worker_listener *l = ctx;
    const struct snapshot *s = l->worker->snapshot;
    const struct client_way way = {
        .stats = l->stats,
        .tls = l->tls,
        .conf = listen_conf_find(s->listens, s->listen_count, &l->address),
    };
    spread_accept(l->worker, &way, &l->address, fd, addr, len);
}

static void add_listener(struct worker *w, const struct worker_socket *socket)
{
    struct worker_listener *l = mem_zalloc(sizeof(*l));
    l->id = socket->id;
    l->worker = w;
    l->stats = socket->stats;
    l->tls = socket->tls;
    l->address = socket->address;
    list_init(&l->node);
    list_append(&w->listeners, &l->node);
    int error = listener_start(&l->listener, &w->loop, socket->fd, on_accept, l);
    if (error)
        log_error(0, "worker %u cannot accept connections: %s", w->index, strerror(-error));
}

static void remove_listener(struct worker *w, uint32_t id)
{
    list_each_safe (node, &w->listeners) {
        struct worker_listener *l = listener_of(node);
        if (l->id != id)
            continue;
        listener_stop(&l->listener);
        list_remove(&l->node);
        deferred_init(&l->free, free_listener);
        loop_defer(&w->loop, &l->free);
    }
}

static void stop_listeners(struct worker *w)
{
    list_each (node, &w->listeners)
        listener_stop(&listener_of(node)->listener);
}

/* Listeners that are still open are those of a start that has failed: who waits there is not ours
 * to accept. */
void worker_let_go(struct worker *w)
{
    list_each (node, &w->listeners)
        listener_close(&listener_of(node)->listener);
    loop_drain(&w->loop);
    clients_kill(w); /* whoever was handed over when the loop had ended */
    cgi_abandon_all(w);
    loop_drain(&w->loop);
    if (!w->tenure)
        return;
    const struct generation *g = w->tenure->generation;
    for (uint32_t i = 0; i < g->snapshot->pool_count; i++)
        pool_retire(&g->pools[i]->pool, w->index);
    loop_drain(&w->loop);
    tenure_retire(w->tenure);
    w->tenure = NULL;
}

void worker_fini(struct worker *w)
{
    struct list *node;
    while ((node = list_shift(&w->listeners)))
        free_listener(&listener_of(node)->free);
    while (w->spare) {
        struct exchange *x = w->spare;
        w->spare = x->next_spare;
        free(x);
    }
    timer_fini(&w->loop, &w->summary);
    spawn_fini(&w->spawn);
    pipe_pool_fini(&w->pipes);
    file_cache_fini(&w->files);
    coder_pool_fini(&w->coders);
    ring_fini(&w->ring);
    loop_fini(&w->loop);
}

/* Whatever has changed: the clients, the limit or the listeners. */
static void heed_limit(struct worker *w)
{
    bool is_full = w->client_count >= w->client_limit;
    list_each (node, &w->listeners) {
        struct listener *l = &listener_of(node)->listener;
        if (is_full)
            listener_pause(l);
        else
            listener_resume(l);
    }
}

void worker_client_joined(struct worker *w)
{
    counter_add(&w->stats.clients_joined, 1);
    if (++w->client_count < w->client_limit)
        return;
    if (w->client_count == w->client_limit)
        log_warn(0, "worker %u: %u client connections, the limit: others wait", w->index,
                 w->client_count);
    heed_limit(w);
}

void worker_client_left(struct worker *w)
{
    counter_add(&w->stats.clients_left, 1);
    if (w->client_count-- >= w->client_limit)
        heed_limit(w);
    if (w->stopping && w->client_count == 0)
        loop_stop(&w->loop);
}

/* ---- configurations ---- */

static void take_generation(struct worker *w, struct tenure *tenure)
{
    const struct snapshot *s = tenure->generation->snapshot;
    struct tenure *old = w->tenure;
    w->tenure = tenure;
    w->snapshot = s;
    w->limits = (struct head_limits){.head_bytes = (uint32_t)s->gateway.head_bytes,
                                     .target_bytes = (uint32_t)s->gateway.target_bytes,
                                     .fields = (uint16_t)s->gateway.fields};
    if (!old)
        return;
    for (uint32_t i = 0; i < tenure->generation->left_count; i++)
        pool_retire(&tenure->generation->left[i]->pool, w->index);
    tenure_retire(old);
}

void worker_apply(struct worker_change *change)
{
    struct worker *w = change->worker;
    take_generation(w, change->tenure);
    w->client_limit = change->client_limit;
    for (uint32_t i = 0; i < change->removed_count; i++)
        remove_listener(w, change->removed[i]);
    for (uint32_t i = 0; i < change->added_count; i++)
        add_listener(w, &change->added[i]);
    heed_limit(w);
    free(change->added);
    free(change->removed);
    free(change);
}

static void on_change(struct post *p)
{
    worker_apply(container_of(p, struct worker_change, post));
}

void worker_send(struct worker_change *change)
{
    change->post.run = on_change;
    loop_post(&change->worker->loop, &change->post);
}

/* ---- certificates ---- */

struct tls_post {
    struct post post;
    struct worker *worker;
    uint32_t listener_id;
    struct tls_server *tls;
};

static void on_tls(struct post *post)
{
    struct tls_post *p = container_of(post, struct tls_post, post);
    list_each (node, &p->worker->listeners) {
        struct worker_listener *l = listener_of(node);
        if (l->id != p->listener_id)
            continue;
        tls_server_unref(l->tls);
        l->tls = p->tls ? tls_server_ref(p->tls) : NULL;
    }
    tls_server_unref(p->tls);
    free(p);
}

void worker_set_tls(struct worker *w, uint32_t listener_id, struct tls_server *tls)
{
    struct tls_post *p = mem_zalloc(sizeof(*p));
    *p = (struct tls_post){.post = {.run = on_tls}, .worker = w, .listener_id = listener_id};
    p->tls = tls ? tls_server_ref(tls) : NULL;
    loop_post(&w->loop, &p->post);
}

/* ---- the spawner ---- */

struct spawner_post {
    struct post post;
    struct worker *worker;
    int channel;
};

static void on_spawner(struct post *post)
{
    struct spawner_post *p = container_of(post, struct spawner_post, post);
    int error = spawn_reconnect(&p->worker->spawn, p->channel);
    if (error)
        log_error(0, "worker %u cannot talk to the spawner: %s", p->worker->index,
                  strerror(-error));
    free(p);
}

void worker_set_spawner(struct worker *w, int channel, bool direct)
{
    struct spawner_post *p = mem_zalloc(sizeof(*p));
    *p = (struct spawner_post){.post = {.run = on_spawner}, .worker = w, .channel = channel};
    if (direct)
        on_spawner(&p->post);
    else
        loop_post(&w->loop, &p->post);
}

/* ---- stopping ---- */

static void stop(struct worker *w, bool is_patient)
{
    w->stopping = true;
    w->is_patient = is_patient;
    stop_listeners(w);
    clients_stop(w);
    if (w->client_count == 0)
        loop_stop(&w->loop);
}

static void on_leave(struct post *p)
{
    stop(container_of(p, struct worker, leave_post), true);
}

static void on_stop(struct post *p)
{
    stop(container_of(p, struct worker, stop_post), false);
}

static void on_kill(struct post *p)
{
    struct worker *w = container_of(p, struct worker, kill_post);
    clients_kill(w);
    loop_stop(&w->loop);
}

void worker_stop(struct worker *w, bool is_patient)
{
    struct post *post = is_patient ? &w->leave_post : &w->stop_post;
    post->run = is_patient ? on_leave : on_stop;
    loop_post(&w->loop, post);
}

void worker_kill(struct worker *w)
{
    w->kill_post.run = on_kill;
    loop_post(&w->loop, &w->kill_post);
}
