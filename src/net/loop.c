/* SPDX-License-Identifier: MIT */
#include "net/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "net/tls.h"

enum { TIMERS_PER_TURN = 64, WAIT_MAX_MS = 60000, CLOCK_EVENTS = 4 };

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_clock_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t loop_wall_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return ts.tv_sec;
}

static void update_clock(struct loop *l)
{
    l->now_us = clock_us(CLOCK_MONOTONIC);
    l->now_ms = l->now_us / 1000;
}

int64_t loop_wall_us(void)
{
    return (int64_t)clock_us(CLOCK_REALTIME);
}

/* Posts are pushed in front by any thread; the loop takes all there are, in order of arrival. */
static struct post *take_posts(struct loop *l)
{
    struct post *p = atomic_exchange_explicit(&l->posts, NULL, memory_order_acquire);
    struct post *ordered = NULL;
    while (p) {
        struct post *next = p->next;
        p->next = ordered;
        ordered = p;
        p = next;
    }
    return ordered;
}

static bool run_post(struct loop *l)
{
    struct post *p = l->arrived;
    if (!p)
        return false;
    l->arrived = p->next;
    atomic_exchange(&p->is_posted, false); /* before it looks: what comes later posts again */
    p->run(p);
    return true;
}

static void run_posts(struct loop *l)
{
    l->has_run_posts = true;
    while (run_post(l) && !loop_turn_is_long(l))
        ;
}

/* Those that came with this wake-up are taken before any is run: the next one wakes again. They are
 * run before what became ready after them: who was told of a reload gets what was loaded. */
static void on_wake(struct watch *w, uint32_t events)
{
    (void)events;
    struct loop *l = container_of(w, struct loop, wake);
    uint64_t count;
    ssize_t n = read(w->fd, &count, sizeof(count));
    (void)n; /* the counter only wakes; being empty already is fine */
    struct post **end = &l->arrived;
    while (*end)
        end = &(*end)->next;
    *end = take_posts(l);
    run_posts(l);
}

int loop_init(struct loop *l)
{
    *l = (struct loop){.epoll_fd = -1, .wake = {.fd = -1, .on_event = on_wake}};
    heap_init(&l->timers);
    list_init(&l->deferred);
    list_init(&l->turn_end);
    list_init(&l->large);
    buf_pool_init(&l->bufs, LOOP_BUFS_MAX);
    quantum_init(&l->deep.quantum, DEEP_MIN, BUF_HUGE, DEEP_US);
    update_clock(l);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return -errno;
    l->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake.fd < 0)
        return -errno;
    return loop_watch(l, &l->wake, EPOLLIN);
}

void loop_fini(struct loop *l)
{
    loop_close(l, &l->wake);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    heap_fini(&l->timers);
    buf_pool_fini(&l->bufs);
    tls_loop_free(l->tls);
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
    if (!(events & EPOLLEXCLUSIVE))
        events |= EPOLLET;
    struct epoll_event ev = {.events = events, .data.ptr = w};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_renew(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = w};
    epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

/* What has been taken for w is for nobody. */
static void drop_events(struct loop *l, const struct watch *w)
{
    for (int i = l->event_at; i < l->event_count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

void loop_close(struct loop *l, struct watch *w)
{
    drop_events(l, w);
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
    drop_events(l, w);
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
}

void timer_init(struct timer *t, void (*on_due)(struct timer *t))
{
    *t = (struct timer){.on_due = on_due};
}

void timer_set_at(struct loop *l, struct timer *t, uint64_t due_ms)
{
    t->due_ms = due_ms;
    if (t->node.at == 0)
        heap_insert(&l->timers, &t->node, due_ms);
    else if (due_ms < t->node.key)
        heap_rekey(&l->timers, &t->node, due_ms);
}

void timer_fini(struct loop *l, struct timer *t)
{
    heap_remove(&l->timers, &t->node);
    t->due_ms = 0;
}

/* Ten thousand connections that have come together are idle for too long together: they do not end
 * in one turn. */
static void run_timers(struct loop *l)
{
    struct heap_node *node;
    unsigned left = TIMERS_PER_TURN;
    while (left && (node = heap_first(&l->timers)) && node->key <= l->now_ms) {
        struct timer *t = container_of(node, struct timer, node);
        if (t->due_ms > l->now_ms) {
            heap_rekey(&l->timers, node, t->due_ms);
            continue;
        }
        heap_remove(&l->timers, node);
        if (t->due_ms) {
            t->due_ms = 0;
            t->on_due(t);
            left = loop_turn_is_long(l) ? 0 : left - 1;
        }
    }
}

static void put_off(struct list *to, struct deferred *d)
{
    if (!list_is_linked(&d->node))
        list_append(to, &d->node);
}

void loop_defer(struct loop *l, struct deferred *d)
{
    put_off(&l->deferred, d);
}

void loop_defer_large(struct loop *l, struct deferred *d)
{
    put_off(&l->large, d);
}

/* One of them at least, however long the turn is already. What is put off meanwhile waits for the
 * next turn, so that nobody keeps the loop for himself. A mark ends the turn, as any other node may
 * be taken out by what is run. */
static void run_some(struct loop *l, struct list *from)
{
    struct list *node;
    list_append(from, &l->turn_end);
    while ((node = list_shift(from)) != &l->turn_end) {
        struct deferred *d = container_of(node, struct deferred, node);
        d->run(d);
        if (loop_turn_is_long(l)) {
            list_remove(&l->turn_end);
            return;
        }
    }
}

/* It has some time of its own, also in a turn that is long already: most connections go on from
 * here. */
static void run_deferred(struct loop *l)
{
    if (list_is_empty(&l->deferred))
        return;
    uint64_t own_us = loop_clock_us() + LOOP_DEFERRED_US;
    if (l->long_at_us < own_us)
        l->long_at_us = own_us;
    run_some(l, &l->deferred);
}

static void run_large(struct loop *l)
{
    if (list_is_empty(&l->large))
        return;
    l->long_at_us = l->now_us + LOOP_LONG_US / 2;
    run_some(l, &l->large);
}

static bool has_put_off(const struct loop *l)
{
    return !list_is_empty(&l->deferred) || !list_is_empty(&l->large);
}

static void run_put_off(struct loop *l)
{
    run_deferred(l);
    run_large(l);
}

bool loop_post(struct loop *l, struct post *p)
{
    if (atomic_exchange(&p->is_posted, true))
        return false;
    struct post *head = atomic_load_explicit(&l->posts, memory_order_relaxed);
    do
        p->next = head;
    while (!atomic_compare_exchange_weak_explicit(&l->posts, &head, p, memory_order_release,
                                                  memory_order_relaxed));
    if (head) /* whoever came first has woken the loop, which takes all */
        return true;
    uint64_t one = 1;
    ssize_t n = write(l->wake.fd, &one, sizeof(one));
    (void)n; /* fails only when the counter is full: the loop is being woken then */
    return true;
}

static int wait_ms(const struct loop *l)
{
    if (has_put_off(l) || l->arrived)
        return 0;
    const struct heap_node *node = heap_first(&l->timers);
    if (!node)
        return WAIT_MAX_MS;
    if (node->key <= l->now_ms)
        return 0;
    uint64_t ms = node->key - l->now_ms;
    return ms < WAIT_MAX_MS ? (int)ms : WAIT_MAX_MS;
}

static void count_turn(struct loop *l)
{
    uint64_t us = loop_clock_us() - l->now_us;
    hist_count(&l->turns, us);
    if (us > counter_get(&l->longest_us))
        atomic_store_explicit(&l->longest_us.n, us, memory_order_relaxed);
}

/* Events of an earlier turn come before newer ones. Where the process has been stopped meanwhile it
 * is not known what there is: event_count is -1. */
static void take_events(struct loop *l)
{
    if (l->event_at < l->event_count)
        return;
    l->event_at = 0;
    l->event_count = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS_MAX, wait_ms(l));
}

/* The clock is read once for a few of them; who works for long reads it by himself. */
static void run_events(struct loop *l)
{
    for (unsigned done = 0; l->event_at < l->event_count;) {
        const struct epoll_event *e = &l->events[l->event_at++];
        struct watch *w = e->data.ptr;
        if (w)
            w->on_event(w, e->events);
        if (++done % CLOCK_EVENTS == 0 && loop_turn_is_long(l))
            return;
    }
}

static void turn(struct loop *l)
{
    take_events(l);
    update_clock(l);
    l->has_run_posts = false;
    l->outbox.is_open = true;
    l->long_at_us = l->now_us + LOOP_EVENTS_US;
    run_events(l);
    outbox_end(&l->outbox);
    l->long_at_us = l->now_us + LOOP_LONG_US;
    if (!l->has_run_posts)
        run_posts(l);                                         /* which an earlier turn has left */
    if (l->event_count >= 0 && l->event_at == l->event_count) /* what came in time is not late */
        run_timers(l);
    run_put_off(l);
    count_turn(l);
}

void loop_run(struct loop *l)
{
    while (!l->stopping)
        turn(l);
    while (has_put_off(l))
        run_put_off(l);
}

void loop_drain(struct loop *l)
{
    do {
        while (run_post(l) || (l->arrived = take_posts(l)))
            ;
        while (has_put_off(l))
            run_put_off(l);
    } while (l->arrived || atomic_load_explicit(&l->posts, memory_order_acquire));
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}
