/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/probe.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../pool/conf.h"

enum { DRAWS = 100000, BUCKETS = 20 };

static void test_pauses_are_spread_evenly_within_a_tenth(void **state)
{
    (void)state;
    static const uint64_t pauses_ms[] = {100, 1000, 5000, 30000};
    for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
        uint64_t random = 7, ms = pauses_ms[i], sum = 0, buckets[BUCKETS] = {0};
        for (int n = 0; n < DRAWS; n++) {
            uint64_t drawn = probe_jitter(&random, ms);
            assert_in_range(drawn, ms - ms / 10, ms + ms / 10);
            buckets[(drawn - (ms - ms / 10)) * BUCKETS / (ms / 10 * 2 + 1)]++;
            sum += drawn;
        }
        assert_in_range(sum / DRAWS, ms - ms / 200 - 1, ms + ms / 200 + 1);
        for (int b = 0; b < BUCKETS; b++)
            assert_in_range(buckets[b], DRAWS / BUCKETS / 2, DRAWS / BUCKETS * 2);
    }
}

static void test_short_pauses_stay_what_they_are(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (uint64_t ms = 1; ms < 10; ms++)
        assert_int_equal(probe_jitter(&random, ms), ms);
}

static void test_a_state_says_what_comes(void **state)
{
    (void)state;
    uint64_t a = 42, b = 42, c = 43;
    int same = 0;
    for (int n = 0; n < 100; n++) {
        uint64_t drawn = probe_jitter(&a, 30000);
        assert_int_equal(drawn, probe_jitter(&b, 30000));
        same += drawn == probe_jitter(&c, 30000);
    }
    assert_in_range(same, 0, 10);
}

/* ---- the end of probes ---- */

static struct pool pool;
static struct probes *probes;

struct ending {
    struct loop loop;
    struct watch watch;
    struct timer soon;
};

static void on_end(struct watch *w, uint32_t events)
{
    struct ending *e = container_of(w, struct ending, watch);
    (void)events;
    probes_free(probes);
    loop_close(&e->loop, w);
    loop_stop(&e->loop);
}

static void on_soon(struct timer *t)
{
    const struct ending *e = container_of(t, struct ending, soon);
    assert_int_equal(eventfd_write(e->watch.fd, 1), 0);
}

static void on_gone(struct pool *p)
{
    pool_fini(p);
}

/* A connection within the machine stands at once: it can be written to when the end is told. */
static void test_probes_may_end_when_news_for_one_come_in_the_same_turn(void **state)
{
    (void)state;
    struct ending e = {.watch.on_event = on_end};
    struct pool_conf conf = test_conf(0);
    struct pool_new new = {.address = test_address(0)};
    conf.health = (struct health_conf){
        .kind = HEALTH_TCP, .interval_ms = 1000, .timeout_ms = 1000, .rise = 1};
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&new.address.sa, new.address.len), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&new.address.sa, &new.address.len), 0);
    assert_int_equal(listen(door, 4), 0);
    assert_int_equal(loop_init(&e.loop), 0);
    pool_init(&pool, &conf, 1);
    pool_set_loop(&pool, 0, &e.loop);
    assert_int_equal(pool_add(&pool, &new), 0);
    e.watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(loop_watch(&e.loop, &e.watch, EPOLLIN), 0);
    timer_init(&e.soon, on_soon);
    timer_set_at(&e.loop, &e.soon, 1); /* before the first probe */
    probes = probes_new(&e.loop, &pool, codec_find(SLICE("http")));
    loop_run(&e.loop);
    assert_int_equal(pool.open, 0);
    pool_abandon(&pool, &e.loop, on_gone);
    loop_drain(&e.loop);
    loop_fini(&e.loop);
    close(door);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses_are_spread_evenly_within_a_tenth),
        cmocka_unit_test(test_short_pauses_stay_what_they_are),
        cmocka_unit_test(test_a_state_says_what_comes),
        cmocka_unit_test(test_probes_may_end_when_news_for_one_come_in_the_same_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
