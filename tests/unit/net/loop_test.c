/* How much a turn of the loop does. Work "spends" by waiting until the turn is long, however quick
 * or busy the machine is; what is asserted is how many pieces of it share a turn.
 * SPDX-License-Identifier: MIT */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PIECES = 5 };

/* One of several pieces of work, of any kind. */
struct piece {
    struct deferred deferred;
    struct post post;
    struct timer timer;
    struct side *side;
};

struct side {
    struct loop loop;
    struct piece pieces[PIECES];
    unsigned done, wanted;
    unsigned in_turn[64]; /* pieces, by turn */
    unsigned turns;
    uint64_t turn_us; /* the one that in_turn is at */
    unsigned order[64];
    struct watch watch;
    unsigned seen_at; /* how many pieces were done when the watch was called */
};

static void spend(const struct loop *l)
{
    while (!loop_turn_is_long(l))
        ;
}

static void count(struct piece *p)
{
    struct side *s = p->side;
    if (s->turn_us != s->loop.now_us) {
        s->turn_us = s->loop.now_us;
        s->turns++;
    }
    s->in_turn[s->turns]++;
    s->order[s->done++] = (unsigned)(p - s->pieces);
    spend(&s->loop);
    if (s->done == s->wanted)
        loop_stop(&s->loop);
}

static void on_deferred(struct deferred *d)
{
    count(container_of(d, struct piece, deferred));
}

static void on_deferred_again(struct deferred *d)
{
    struct piece *p = container_of(d, struct piece, deferred);
    if (p->side->done + PIECES < p->side->wanted)
        loop_defer(&p->side->loop, d);
    count(p);
}

static void on_post(struct post *post)
{
    count(container_of(post, struct piece, post));
}

static void on_due(struct timer *t)
{
    count(container_of(t, struct piece, timer));
}

static void begin(struct side *s, unsigned wanted)
{
    *s = (struct side){.wanted = wanted};
    assert_int_equal(loop_init(&s->loop), 0);
    for (unsigned i = 0; i < PIECES; i++) {
        struct piece *p = &s->pieces[i];
        p->side = s;
        p->post.run = on_post;
        deferred_init(&p->deferred, on_deferred);
        timer_init(&p->timer, on_due);
    }
}

static void check_one_each_turn(const struct side *s)
{
    assert_int_equal(s->turns, PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        assert_int_equal(s->in_turn[i + 1], 1);
        assert_int_equal(s->order[i], i);
    }
}

static void test_a_long_turn_leaves_what_is_deferred_to_the_next(void **state)
{
    (void)state;
    struct side s;
    begin(&s, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        loop_defer(&s.loop, &s.pieces[i].deferred);
    loop_run(&s.loop);
    check_one_each_turn(&s);
    loop_fini(&s.loop);
}

static void test_a_long_turn_leaves_posts_to_the_next(void **state)
{
    (void)state;
    struct side s;
    begin(&s, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        loop_post(&s.loop, &s.pieces[i].post);
    loop_run(&s.loop);
    check_one_each_turn(&s);
    loop_fini(&s.loop);
}

static void test_what_is_posted_twice_runs_once_and_may_come_again(void **state)
{
    (void)state;
    struct side s;
    begin(&s, 2 * PIECES);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PIECES; i++)
            assert_true(loop_post(&s.loop, &s.pieces[i].post));
        for (unsigned i = 0; i < PIECES; i++)
            assert_false(loop_post(&s.loop, &s.pieces[i].post));
        loop_drain(&s.loop);
        assert_int_equal(s.done, (round + 1) * PIECES);
    }
    loop_fini(&s.loop);
}

static void test_a_long_turn_leaves_deadlines_to_the_next(void **state)
{
    (void)state;
    struct side s;
    begin(&s, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        timer_set_at(&s.loop, &s.pieces[i].timer, i + 1);
    loop_run(&s.loop);
    check_one_each_turn(&s);
    loop_fini(&s.loop);
}

static void test_those_that_go_on_and_on_take_turns(void **state)
{
    (void)state;
    struct side s;
    begin(&s, 3 * PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        s.pieces[i].deferred.run = on_deferred_again;
        loop_defer(&s.loop, &s.pieces[i].deferred);
    }
    loop_run(&s.loop);
    assert_int_equal(s.turns, 3 * PIECES);
    for (unsigned i = 0; i < 3 * PIECES; i++)
        assert_int_equal(s.order[i], i % PIECES);
    loop_fini(&s.loop);
}

static void test_what_is_large_shares_a_turn_with_nothing_large(void **state)
{
    (void)state;
    struct side s;
    begin(&s, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        loop_defer_large(&s.loop, &s.pieces[i].deferred);
    loop_run(&s.loop);
    check_one_each_turn(&s);
    loop_fini(&s.loop);
}

/* The first piece is small, however long it takes. */
static void on_for_ever(struct deferred *d)
{
    struct piece *p = container_of(d, struct piece, deferred);
    struct side *s = p->side;
    if (s->done < s->wanted)
        (p == s->pieces ? loop_defer : loop_defer_large)(&s->loop, d);
    count(p);
}

static void test_what_is_small_waits_for_one_large_piece_alone(void **state)
{
    (void)state;
    struct side s;
    begin(&s, 4 * PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        s.pieces[i].deferred.run = on_for_ever;
        (i ? loop_defer_large : loop_defer)(&s.loop, &s.pieces[i].deferred);
    }
    loop_run(&s.loop);
    for (unsigned i = 0; i < 4 * PIECES; i++)
        assert_int_equal(s.order[i], i % 2 ? 1 + i / 2 % (PIECES - 1) : 0);
    for (unsigned i = 1; i < 2 * PIECES; i++) /* the last has what is left as well */
        assert_int_equal(s.in_turn[i], 2);
    loop_fini(&s.loop);
}

static void on_watch(struct watch *w, uint32_t events)
{
    (void)events;
    struct side *s = container_of(w, struct side, watch);
    s->seen_at = s->done;
}

static void on_first(struct post *post)
{
    struct piece *p = container_of(post, struct piece, post);
    uint64_t one = 1;
    assert_int_equal(write(p->side->watch.fd, &one, sizeof(one)), sizeof(one));
    count(p);
}

static void test_what_comes_meanwhile_waits_for_one_piece_alone(void **state)
{
    (void)state;
    struct side s;
    begin(&s, PIECES);
    s.watch = (struct watch){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .on_event = on_watch};
    assert_int_equal(loop_watch(&s.loop, &s.watch, EPOLLIN), 0);
    s.pieces[0].post.run = on_first;
    for (unsigned i = 0; i < PIECES; i++)
        loop_post(&s.loop, &s.pieces[i].post);
    loop_run(&s.loop);
    assert_int_equal(s.seen_at, 1);
    loop_close(&s.loop, &s.watch);
    loop_fini(&s.loop);
}

/* Each is ready again as soon as it has been called, and takes an eighth of what events may. */
enum { CROWD = LOOP_EVENTS_MAX };
struct crowd {
    struct watch watch;
    struct side *side;
    unsigned calls;
    struct crowd **closes; /* and frees at the end of the turn, as owners do */
    struct deferred free;
};

static void begin_crowd(struct side *s, struct crowd *crowd[CROWD], unsigned wanted,
                        void (*on_event)(struct watch *w, uint32_t events))
{
    begin(s, wanted);
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = malloc(sizeof(*crowd[i]));
        *crowd[i] = (struct crowd){.side = s};
        crowd[i]->watch = (struct watch){.fd = eventfd(1, EFD_CLOEXEC), .on_event = on_event};
        assert_int_equal(loop_watch(&s->loop, &crowd[i]->watch, EPOLLIN), 0);
    }
}

static void free_crowd(struct deferred *d)
{
    free(container_of(d, struct crowd, free));
}

static void end_crowd(struct side *s, struct crowd *crowd[CROWD])
{
    for (unsigned i = 0; i < CROWD; i++) {
        if (!crowd[i])
            continue;
        loop_close(&s->loop, &crowd[i]->watch);
        free(crowd[i]);
    }
    loop_fini(&s->loop);
}

static void spend_an_eighth(struct side *s)
{
    if (s->turn_us != s->loop.now_us) {
        s->turn_us = s->loop.now_us;
        if (++s->turns == s->wanted)
            loop_stop(&s->loop);
    }
    s->in_turn[s->turns]++;
    for (uint64_t begun = loop_clock_us(); loop_clock_us() - begun < LOOP_EVENTS_US / 8 + 2;)
        ;
}

static void on_crowd(struct watch *w, uint32_t events)
{
    (void)events;
    struct crowd *c = container_of(w, struct crowd, watch);
    c->calls++;
    loop_renew(&c->side->loop, w, EPOLLIN);
    spend_an_eighth(c->side);
}

static void test_events_that_take_long_are_left_to_the_next_turns_in_order(void **state)
{
    (void)state;
    struct crowd *crowd[CROWD];
    struct side s;
    begin_crowd(&s, crowd, 40, on_crowd);
    loop_run(&s.loop);
    unsigned all = 0, most = 0, least = UINT_MAX;
    for (unsigned i = 1; i <= s.turns; i++) {
        assert_in_range(s.in_turn[i], 1, 8);
        all += s.in_turn[i];
    }
    for (unsigned i = 0; i < CROWD; i++) {
        most = most > crowd[i]->calls ? most : crowd[i]->calls;
        least = least < crowd[i]->calls ? least : crowd[i]->calls;
    }
    assert_true(all > CROWD);
    assert_in_range(most, least, least + 1);
    end_crowd(&s, crowd);
}

static void on_once(struct watch *w, uint32_t events)
{
    (void)events;
    struct crowd *c = container_of(w, struct crowd, watch);
    c->side->done++;
    spend_an_eighth(c->side);
}

static void on_deadline(struct timer *t)
{
    struct piece *p = container_of(t, struct piece, timer);
    p->side->seen_at = p->side->done;
    loop_stop(&p->side->loop);
}

static void test_what_has_come_in_time_is_seen_before_a_deadline(void **state)
{
    (void)state;
    struct crowd *crowd[CROWD];
    struct side s;
    begin_crowd(&s, crowd, UINT_MAX, on_once);
    s.pieces[0].timer.on_due = on_deadline;
    timer_set_at(&s.loop, &s.pieces[0].timer, 1);
    loop_run(&s.loop);
    assert_int_equal(s.seen_at, CROWD);
    end_crowd(&s, crowd);
}

/* Of a pair, who is called first closes the other. */
static void on_pair(struct watch *w, uint32_t events)
{
    (void)events;
    struct crowd *c = container_of(w, struct crowd, watch), *other = *c->closes;
    struct side *s = c->side;
    *c->closes = NULL;
    loop_close(&s->loop, &other->watch);
    deferred_init(&other->free, free_crowd);
    loop_defer(&s->loop, &other->free);
    spend_an_eighth(s);
    if (++s->done == CROWD / 2)
        loop_stop(&s->loop);
}

static void test_what_is_closed_meanwhile_gets_no_event(void **state)
{
    (void)state;
    struct crowd *crowd[CROWD];
    struct side s;
    begin_crowd(&s, crowd, UINT_MAX, on_pair);
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i]->closes = &crowd[CROWD - 1 - i];
    loop_run(&s.loop); /* a late event would be for memory that is gone */
    assert_true(s.turns > 1);
    for (unsigned i = 0; i < CROWD; i++)
        assert_true(!crowd[i] != !crowd[CROWD - 1 - i]);
    end_crowd(&s, crowd);
}

static void test_draining_leaves_nothing(void **state)
{
    (void)state;
    struct side s;
    begin(&s, 0);
    for (unsigned i = 0; i < PIECES; i++)
        loop_post(&s.loop, &s.pieces[i].post);
    for (unsigned i = 0; i < PIECES; i++)
        (i % 2 ? loop_defer_large : loop_defer)(&s.loop, &s.pieces[i].deferred);
    loop_drain(&s.loop);
    assert_int_equal(s.done, 2 * PIECES);
    loop_fini(&s.loop);
}

static void test_many_posts_wake_once(void **state)
{
    (void)state;
    struct side s;
    uint64_t woken;
    begin(&s, 0);
    for (unsigned i = 0; i < PIECES; i++)
        loop_post(&s.loop, &s.pieces[i].post);
    assert_int_equal(read(s.loop.wake.fd, &woken, sizeof(woken)), sizeof(woken));
    assert_int_equal(woken, 1);
    loop_drain(&s.loop);
    loop_post(&s.loop, &s.pieces[0].post); /* and again, as the others have been taken */
    assert_int_equal(read(s.loop.wake.fd, &woken, sizeof(woken)), sizeof(woken));
    loop_drain(&s.loop);
    assert_int_equal(s.done, PIECES + 1);
    loop_fini(&s.loop);
}

static void test_turns_are_measured(void **state)
{
    (void)state;
    struct side s;
    struct hist_sum sum = {0};
    begin(&s, PIECES);
    for (unsigned i = 0; i < PIECES; i++)
        loop_post(&s.loop, &s.pieces[i].post);
    loop_run(&s.loop);
    hist_read(&s.loop.turns, &sum);
    assert_int_equal(sum.count, PIECES);
    assert_true(sum.sum_us >= PIECES * LOOP_EVENTS_US);
    assert_true(counter_get(&s.loop.longest_us) >= LOOP_EVENTS_US);
    assert_true(counter_get(&s.loop.longest_us) <= sum.sum_us);
    loop_fini(&s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_turn_leaves_what_is_deferred_to_the_next),
        cmocka_unit_test(test_a_long_turn_leaves_posts_to_the_next),
        cmocka_unit_test(test_what_is_posted_twice_runs_once_and_may_come_again),
        cmocka_unit_test(test_a_long_turn_leaves_deadlines_to_the_next),
        cmocka_unit_test(test_those_that_go_on_and_on_take_turns),
        cmocka_unit_test(test_what_is_large_shares_a_turn_with_nothing_large),
        cmocka_unit_test(test_what_is_small_waits_for_one_large_piece_alone),
        cmocka_unit_test(test_what_comes_meanwhile_waits_for_one_piece_alone),
        cmocka_unit_test(test_events_that_take_long_are_left_to_the_next_turns_in_order),
        cmocka_unit_test(test_what_is_closed_meanwhile_gets_no_event),
        cmocka_unit_test(test_what_has_come_in_time_is_seen_before_a_deadline),
        cmocka_unit_test(test_draining_leaves_nothing),
        cmocka_unit_test(test_many_posts_wake_once),
        cmocka_unit_test(test_turns_are_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
