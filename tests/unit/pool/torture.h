/* What tests of the pool under threads share: backends that accept and now and then close, a count
 * of what the kernel is asked for, and a main thread that meddles. connect() and close() are
 * wrapped: at any moment it is known how many connections each backend has.
 * SPDX-License-Identifier: MIT */
#ifndef TEST_POOL_TORTURE_H
#define TEST_POOL_TORTURE_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/random.h"
#include "conf.h"
#include "pool/pool_internal.h"

enum { BACKENDS = 3, MAX_CONNS = 4, POOL_MAX = 9, FDS = 4096 };
enum { WORKERS = 4, CHECK_MS = 3, ROUNDS = 60, ROUND_US = 10000, END_MS = 20000 };

static struct pool pool;

/* ---- what the kernel is asked for ---- */

static uint16_t ports[BACKENDS];
static atomic_int connected[BACKENDS], all_connected, worst[BACKENDS], worst_all;
static atomic_int backend_of_fd[FDS]; /* index + 1; 0: no connection of the pool's */

int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __real_close(int fd);
int __wrap_close(int fd);

static void note_worst(atomic_int *at, int n)
{
    int before = atomic_load(at);
    while (n > before && !atomic_compare_exchange_weak(at, &before, n))
        ;
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
    for (int i = 0; i < BACKENDS && fd < FDS; i++) {
        if (ports[i] != port)
            continue;
        atomic_store(&backend_of_fd[fd], i + 1);
        note_worst(&worst[i], atomic_fetch_add(&connected[i], 1) + 1);
        note_worst(&worst_all, atomic_fetch_add(&all_connected, 1) + 1);
    }
    return __real_connect(fd, addr, len);
}

int __wrap_close(int fd)
{
    int b = fd >= 0 && fd < FDS ? atomic_exchange(&backend_of_fd[fd], 0) : 0;
    if (b) {
        atomic_fetch_sub(&connected[b - 1], 1);
        atomic_fetch_sub(&all_connected, 1);
    }
    return __real_close(fd);
}

/* ---- backends: accept, say nothing, now and then close ---- */

static atomic_bool servers_end;

static int listen_somewhere(uint16_t *port)
{
    struct pool_address a = test_address(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a.sa, a.len), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    *port = ntohs(((struct sockaddr_in *)&a.sa)->sin_port);
    return fd;
}

static void *serve(void *arg)
{
    struct pollfd fds[FDS];
    nfds_t count = BACKENDS;
    struct random random = {77};
    memcpy(fds, arg, BACKENDS * sizeof(*fds));
    while (!atomic_load(&servers_end)) {
        poll(fds, count, 5);
        for (nfds_t i = 0; i < BACKENDS; i++) {
            int fd;
            while (count < FDS && (fd = accept(fds[i].fd, NULL, NULL)) >= 0)
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        for (nfds_t i = BACKENDS; i < count; i++) {
            if (!(fds[i].revents & (POLLIN | POLLHUP)) && random_below(&random, 2000))
                continue;
            close(fds[i].fd);
            fds[i--] = fds[--count];
        }
    }
    for (nfds_t i = 0; i < count; i++)
        close(fds[i].fd);
    return NULL;
}

/* ---- the main thread's part ---- */

static struct slice text_of_backend(char *buf, size_t n, int i)
{
    snprintf(buf, n, "127.0.0.1:%u", ports[i]);
    return slice_str(buf);
}

static void meddle(struct random *random, const struct backend_conf *line)
{
    char buf[32];
    struct slice text = text_of_backend(buf, sizeof(buf), (int)random_below(random, BACKENDS));
    struct pool_address list[BACKENDS];
    int rc = 0;
    for (int i = 0; i < BACKENDS; i++)
        list[i] = test_address(ports[i]);
    switch (random_below(random, 8)) {
    case 0: rc = pool_drain(&pool, text); break;
    case 1: rc = pool_disable(&pool, text); break;
    case 2:
    case 3: rc = pool_enable(&pool, text); break;
    case 4: rc = pool_set_weight(&pool, text, 1 + random_below(random, 5)); break;
    case 5: pool_set_addresses(&pool, line, list, 1 + random_below(random, BACKENDS)); break;
    case 6: pool_set_conf(&pool, pool.conf); break;
    case 7: pool_set_addresses(&pool, line, list, BACKENDS); break;
    }
    assert_true(rc == 0 || rc == -ENOENT);
}

static void put_right(const struct backend_conf *line)
{
    char buf[32];
    struct pool_address list[BACKENDS];
    for (int i = 0; i < BACKENDS; i++)
        list[i] = test_address(ports[i]);
    pool_set_addresses(&pool, line, list, BACKENDS);
    for (int i = 0; i < BACKENDS; i++)
        assert_int_equal(pool_enable(&pool, text_of_backend(buf, sizeof(buf), i)), 0);
}

/* ---- a pool before them ---- */

static struct pollfd listeners[BACKENDS];
static pthread_t server;

static void start_backends(void)
{
    atomic_store(&servers_end, false);
    for (int i = 0; i < BACKENDS; i++) {
        listeners[i] = (struct pollfd){.fd = listen_somewhere(&ports[i]), .events = POLLIN};
        atomic_store(&worst[i], 0);
    }
    atomic_store(&worst_all, 0);
    pthread_create(&server, NULL, serve, listeners);
}

static void end_backends(void)
{
    atomic_store(&servers_end, true);
    pthread_join(server, NULL);
}

/* A configuration under which everything happens often. */
static struct pool_conf torture_conf(int balance, uint32_t pool_max, struct backend_conf *line)
{
    struct pool_conf conf = test_conf(balance);
    conf.backends = line;
    conf.backend_count = 1;
    conf.max_conns = pool_max;
    conf.keep_ms = 20;
    conf.fail_backoff_ms = 1;
    conf.fail_max_ms = 8;
    conf.queue_length = 64;
    conf.queue_target_ms = 20;
    conf.hedge_budget = 50;
    return conf;
}

static void meddle_for_a_while(struct random *random, const struct backend_conf *line)
{
    for (int i = 0; i < ROUNDS; i++) {
        usleep(ROUND_US);
        meddle(random, line);
    }
    put_right(line);
}

/* ---- workers: threads that run loops, and exchanges on them ---- */

/* What each worker of a test begins with. */
struct hand {
    struct loop loop;
    pthread_t thread;
    struct random random;
    uint32_t index;
    struct timer check;
    bool (*is_idle)(struct hand *h); /* whether all of its exchanges are; asked now and then */
};

static struct hand *hands[WORKERS];
static atomic_bool no_more; /* is begun */

/* When no more is begun and all of ours are idle: closes what is kept, and ends when the whole pool
 * has nothing open, for until then others may hand connections over. */
static void on_check(struct timer *t)
{
    struct hand *h = container_of(t, struct hand, check);
    bool is_idle = h->is_idle(h) && atomic_load(&no_more);
    if (is_idle)
        pool_retire(&pool, h->index);
    if (is_idle && atomic_load(&all_connected) == 0)
        loop_stop(&h->loop);
    timer_set(&h->loop, t, CHECK_MS);
}

static void hand_init(struct hand *h, uint32_t index, bool (*is_idle)(struct hand *h))
{
    *h = (struct hand){.index = index, .random = {index + 1}, .is_idle = is_idle};
    hands[index] = h;
    assert_int_equal(loop_init(&h->loop), 0);
    pool_set_loop(&pool, index, &h->loop);
    timer_init(&h->check, on_check);
    timer_set(&h->loop, &h->check, CHECK_MS);
}

static void hand_fini(struct hand *h)
{
    timer_fini(&h->loop, &h->check);
    loop_fini(&h->loop);
}

static void *run_hand(void *arg)
{
    loop_run(&((struct hand *)arg)->loop);
    return NULL;
}

/* All of them at once, until nobody has anything more to do. What is left in their loops is run. */
static void run_hands(struct random *random, const struct backend_conf *line)
{
    atomic_store(&no_more, false);
    put_right(line);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&hands[i]->thread, NULL, run_hand, hands[i]);
    meddle_for_a_while(random, line);
    atomic_store(&no_more, true);
    alarm(END_MS / 1000); /* somebody waits for what nobody gives him */
    for (int i = 0; i < WORKERS; i++)
        pthread_join(hands[i]->thread, NULL);
    for (int i = 0; i < WORKERS; i++)
        loop_drain(&hands[i]->loop);
    alarm(0);
}

/* Nobody has anything of it. */
static void check_empty(uint32_t pool_max)
{
    for (int i = 0; i < BACKENDS; i++)
        assert_true(atomic_load(&worst[i]) <= MAX_CONNS);
    if (pool_max)
        assert_true(atomic_load(&worst_all) <= (int)pool_max);
    assert_int_equal(pool.open, 0);
    assert_int_equal(pool.idle, 0);
    assert_int_equal(pool.lanes, 0);
    assert_int_equal(pool.queue.count, 0);
    assert_int_equal(atomic_load(&pool.holds), 1);
    assert_true(list_is_empty(&pool.gone));
    for (uint32_t i = 0; i < pool.count; i++) {
        const struct backend *b = pool.backends[i];
        assert_int_equal(b->open, 0);
        assert_int_equal(b->busy, 0);
        assert_int_equal(backend_idle(b), 0);
        for (uint32_t k = 0; k < b->idle_lists; k++) {
            assert_int_equal(b->idle[k].lanes, 0);
            assert_int_equal(b->idle[k].sharing, 0);
        }
    }
}

#endif
