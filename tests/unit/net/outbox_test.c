/* What is put into the outbox of a loop, and when it leaves. Peers are the other ends of socket
 * pairs; nothing here waits for one.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/stream.h"

enum { SENDERS = OUTBOX_MAX + 2, WINDOW = 64 * 1024 };

struct sender {
    struct stream stream;
    struct chain out;
    int peer;
    unsigned told;                  /* how often on_ready was called */
    void (*then)(struct sender *s); /* what it does about it */
};

static struct loop loop;
static struct sender senders[SENDERS];
static char received[WINDOW];

static void on_ready(struct stream *stream)
{
    struct sender *s = container_of(stream, struct sender, stream);
    s->told++;
    if (s->then)
        s->then(s);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        struct sender *s = &senders[i];
        int fds[2];
        *s = (struct sender){0};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                         0);
        assert_int_equal(stream_open(&s->stream, &loop, fds[0], on_ready), 0);
        s->stream.writable = true; /* which the first event says */
        s->peer = fds[1];
        chain_init(&s->out, &loop.bufs, WINDOW);
    }
    loop.outbox.is_open = true; /* as while events are handled */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SENDERS; i++) {
        chain_clear(&senders[i].out);
        stream_close(&senders[i].stream, false);
        if (senders[i].peer >= 0)
            close(senders[i].peer);
    }
    loop_fini(&loop);
    return 0;
}

static void put(struct sender *s, const char *text)
{
    chain_copy(&s->out, slice_str(text));
}

static void put_soon(struct sender *s, const char *text)
{
    put(s, text);
    assert_true(stream_send_soon(&s->stream, &s->out));
}

/* What the peer has got, and not been asked for before. */
static struct slice got(const struct sender *s)
{
    ssize_t n = recv(s->peer, received, sizeof(received), 0);
    return slice_of(received, n > 0 ? (size_t)n : 0);
}

static void check_got(const struct sender *s, const char *text)
{
    assert_true(slice_eq(got(s), slice_str(text)));
}

static void break_off(struct sender *s)
{
    close(s->peer);
    s->peer = -1;
}

/* Until not a byte more has room, though nobody has noticed. */
static void fill_socket(struct sender *s)
{
    static const char bytes[1024];
    for (size_t n = sizeof(bytes); n; n /= 2)
        while (send(s->stream.watch.fd, bytes, n, MSG_NOSIGNAL) > 0)
            ;
    assert_int_equal(errno, EAGAIN);
}

/* Answers how much was in it. */
static size_t empty_socket(struct sender *s)
{
    size_t n = 0, piece;
    while ((piece = got(s).n))
        n += piece;
    return n;
}

/* ---- leaving ---- */

static void test_all_leave_at_the_end_and_nobody_is_told(void **state)
{
    (void)state;
    put_soon(&senders[0], "first");
    put_soon(&senders[1], "second");
    put_soon(&senders[2], "third");
    check_got(&senders[0], "");
    outbox_end(&loop.outbox);
    check_got(&senders[0], "first");
    check_got(&senders[1], "second");
    check_got(&senders[2], "third");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(senders[i].told, 0);
        assert_int_equal(senders[i].stream.outbox_place, 0);
        assert_true(chain_is_empty(&senders[i].out));
        assert_false(senders[i].stream.is_unsent);
    }
    assert_int_equal(loop.outbox.n, 0);
}

/* All write into one socket, so that its reader sees who was first. */
static void test_they_leave_in_the_order_they_came_in(void **state)
{
    (void)state;
    static const unsigned order[] = {2, 0, 1};
    static const char *const texts[] = {"c", "a", "b"};
    for (unsigned i = 1; i < 3; i++)
        assert_int_equal(dup3(senders[0].stream.watch.fd, senders[i].stream.watch.fd, O_CLOEXEC),
                         senders[i].stream.watch.fd);
    for (unsigned i = 0; i < 3; i++)
        put_soon(&senders[order[i]], texts[i]);
    outbox_end(&loop.outbox);
    check_got(&senders[0], "cab");
}

static void test_a_chain_grows_while_it_is_in(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    put_soon(s, "one ");
    put(s, "two ");
    put_soon(s, "three");
    assert_int_equal(loop.outbox.n, 1);
    outbox_end(&loop.outbox);
    check_got(s, "one two three");
    assert_int_equal(s->told, 0);
}

static void test_one_that_is_closed_is_not_sent(void **state)
{
    (void)state;
    put_soon(&senders[0], "first");
    put_soon(&senders[1], "second");
    put_soon(&senders[2], "third");
    chain_clear(&senders[1].out);
    stream_close(&senders[1].stream, false);
    outbox_end(&loop.outbox);
    check_got(&senders[0], "first");
    check_got(&senders[1], "");
    check_got(&senders[2], "third");
    assert_int_equal(senders[1].told, 0);
}

static void test_one_that_has_left_may_come_back(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    put_soon(s, "never mind");
    stream_leave_outbox(&s->stream);
    stream_leave_outbox(&s->stream); /* as often as one likes */
    assert_false(chain_is_empty(&s->out));
    chain_clear(&s->out);
    put_soon(s, "this");
    outbox_end(&loop.outbox);
    check_got(s, "this");
}

static void test_flushing_it_takes_it_out(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    put_soon(s, "at once");
    assert_true(stream_flush(&s->stream, &s->out));
    check_got(s, "at once");
    assert_int_equal(s->stream.outbox_place, 0);
    outbox_end(&loop.outbox);
    check_got(s, "");
    assert_int_equal(s->told, 0);
}

/* ---- what is not taken ---- */

static void test_outside_of_events_nothing_is_taken(void **state)
{
    (void)state;
    outbox_end(&loop.outbox);
    put(&senders[0], "late");
    assert_false(stream_send_soon(&senders[0].stream, &senders[0].out));
    assert_int_equal(senders[0].stream.outbox_place, 0);
}

static void test_it_takes_so_many(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OUTBOX_MAX; i++)
        put_soon(&senders[i], "in");
    struct sender *s = &senders[OUTBOX_MAX];
    put(s, "out");
    assert_false(stream_send_soon(&s->stream, &s->out));
    put_soon(&senders[OUTBOX_MAX - 1], ", too"); /* who is in may stay */
    outbox_end(&loop.outbox);
    for (unsigned i = 0; i < OUTBOX_MAX; i++)
        check_got(&senders[i], i < OUTBOX_MAX - 1 ? "in" : "in, too");
    check_got(s, "");
}

static void test_a_place_that_was_left_is_not_free_before_the_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OUTBOX_MAX; i++)
        put_soon(&senders[i], "in");
    outbox_send(&loop.outbox);
    put(&senders[0], "again");
    assert_false(stream_send_soon(&senders[0].stream, &senders[0].out));
    outbox_end(&loop.outbox);
    loop.outbox.is_open = true;
    assert_true(stream_send_soon(&senders[0].stream, &senders[0].out));
    outbox_end(&loop.outbox);
    check_got(&senders[0], "inagain");
}

static void test_what_is_large_is_not_taken(void **state)
{
    (void)state;
    static const char bytes[OUTBOX_BYTES];
    struct sender *s = &senders[0];
    chain_copy(&s->out, slice_of(bytes, sizeof(bytes)));
    assert_true(stream_send_soon(&s->stream, &s->out));
    put(s, "x"); /* and what has become so is to be flushed */
    assert_false(stream_send_soon(&s->stream, &s->out));
    outbox_end(&loop.outbox);
    assert_int_equal(got(s).n, OUTBOX_BYTES + 1);
}

static void keep(struct source *source)
{
    (void)source;
}

static void test_a_file_is_not_taken_but_behind_a_head(void **state)
{
    (void)state;
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(fd, "file", 4), 4);
    struct source source = {.fd = fd, .refs = 1, .free = keep};
    struct sender *alone = &senders[0], *behind = &senders[1];
    chain_put_file(&alone->out, &source, 0, 4);
    assert_false(stream_send_soon(&alone->stream, &alone->out));
    put(behind, "head ");
    chain_put_file(&behind->out, &source, 0, 4);
    assert_true(stream_send_soon(&behind->stream, &behind->out));
    outbox_end(&loop.outbox);
    check_got(behind, "head file");
    chain_clear(&alone->out);
    assert_int_equal(source.refs, 1);
    close(fd);
}

/* Its owner may let go of it as soon as it counts as sent. */
static void test_what_is_not_counted_is_not_taken(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    put_soon(s, "head ");
    chain_put_static(&s->out, SLICE("text of a configuration"));
    put(s, " end");
    assert_false(stream_send_soon(&s->stream, &s->out));
    assert_true(stream_flush(&s->stream, &s->out));
    check_got(s, "head text of a configuration end");
}

static void test_who_cannot_write_is_not_taken(void **state)
{
    (void)state;
    put(&senders[0], "x");
    senders[0].stream.writable = false;
    assert_false(stream_send_soon(&senders[0].stream, &senders[0].out));
    put(&senders[1], "x");
    senders[1].stream.error = -EPIPE;
    assert_false(stream_send_soon(&senders[1].stream, &senders[1].out));
    put(&senders[2], "x");
    stream_lead(&senders[2].stream, SLICE("first of all"));
    assert_false(stream_send_soon(&senders[2].stream, &senders[2].out));
}

/* ---- what cannot be sent ---- */

static void test_a_full_socket_is_told_once(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    fill_socket(s);
    put_soon(s, "waits");
    put_soon(&senders[1], "goes");
    outbox_end(&loop.outbox);
    assert_int_equal(s->told, 1);
    assert_false(s->stream.writable);
    assert_int_equal(s->stream.error, 0);
    assert_false(s->stream.is_unsent); /* it will be */
    assert_int_equal(s->out.bytes, 5);
    check_got(&senders[1], "goes");
    assert_true(empty_socket(s) > 0);
    s->stream.writable = true;
    assert_true(stream_flush(&s->stream, &s->out));
    check_got(s, "waits");
    loop.outbox.is_open = true;
    outbox_end(&loop.outbox);
    assert_int_equal(s->told, 1);
}

/* A TCP-like sender that takes less than it is offered; the bytes are its own. */
static ssize_t take_two(struct stream *s, struct chain *out)
{
    s->writable = false;
    chain_drop(out, 2);
    return 2;
}

static void test_what_was_sent_in_part_is_told_once(void **state)
{
    (void)state;
    static const struct transport slow = {.write = take_two};
    struct sender *s = &senders[0];
    s->stream.transport = &slow;
    put_soon(s, "12345");
    outbox_end(&loop.outbox);
    s->stream.transport = &transport_plain;
    assert_int_equal(s->told, 1);
    assert_false(s->stream.is_unsent);
    assert_int_equal(s->out.bytes, 3);
}

static void test_a_broken_one_is_told_once_that_nothing_was_sent(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    put_soon(s, "lost");
    put_soon(&senders[1], "goes");
    break_off(s);
    outbox_end(&loop.outbox);
    assert_int_equal(s->told, 1);
    assert_int_equal(s->stream.error, -EPIPE);
    assert_true(s->stream.is_unsent);
    assert_int_equal(s->out.bytes, 4);
    assert_int_equal(s->stream.outbox_place, 0);
    check_got(&senders[1], "goes");
    assert_false(stream_flush(&s->stream, &s->out));
}

static ssize_t take_two_and_break(struct stream *s, struct chain *out)
{
    (void)s;
    if (out->bytes < 5)
        return -ECONNRESET;
    chain_drop(out, 2);
    return 2;
}

static void test_one_that_breaks_in_the_middle_was_sent(void **state)
{
    (void)state;
    static const struct transport breaks = {.write = take_two_and_break};
    struct sender *s = &senders[0];
    s->stream.transport = &breaks;
    put_soon(s, "12345");
    outbox_end(&loop.outbox);
    s->stream.transport = &transport_plain;
    assert_int_equal(s->told, 1);
    assert_int_equal(s->stream.error, -ECONNRESET);
    assert_false(s->stream.is_unsent);
}

static void put_again(struct sender *s)
{
    struct sender *other = s + 1;
    put_soon(other, "more");
}

static void test_who_is_told_may_put_more_in(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    s->then = put_again;
    fill_socket(s);
    put_soon(s, "waits");
    outbox_end(&loop.outbox);
    check_got(&senders[1], "more");
    assert_int_equal(senders[1].told, 0);
    assert_int_equal(loop.outbox.n, 0);
}

static void close_next(struct sender *s)
{
    chain_clear(&s[1].out);
    stream_close(&s[1].stream, false);
}

static void test_who_is_told_may_close_another(void **state)
{
    (void)state;
    senders[0].then = close_next;
    put_soon(&senders[0], "lost");
    put_soon(&senders[1], "not wanted");
    put_soon(&senders[2], "goes");
    break_off(&senders[0]);
    outbox_end(&loop.outbox);
    check_got(&senders[1], "");
    assert_int_equal(senders[1].told, 0);
    check_got(&senders[2], "goes");
}

/* ---- before the end ---- */

static void test_they_do_not_wait_for_something_large(void **state)
{
    (void)state;
    static const char bytes[OUTBOX_BYTES + 1];
    struct sender *large = &senders[2], *broken = &senders[3];
    put_soon(&senders[0], "first");
    put_soon(&senders[1], "second");
    put_soon(broken, "lost");
    break_off(broken);
    chain_put_static(&large->out, slice_of(bytes, sizeof(bytes)));
    assert_true(stream_flush(&large->stream, &large->out));
    check_got(&senders[0], "first");
    check_got(&senders[1], "second");
    assert_int_equal(got(large).n, sizeof(bytes));
    assert_int_equal(broken->told, 0); /* not from within somebody's work */
    put_soon(&senders[0], "again");
    outbox_end(&loop.outbox);
    check_got(&senders[0], "again");
    assert_int_equal(broken->told, 1);
    assert_true(broken->stream.is_unsent);
}

static void test_something_small_does_not_send_the_others(void **state)
{
    (void)state;
    put_soon(&senders[0], "waits");
    put(&senders[1], "goes");
    assert_true(stream_flush(&senders[1].stream, &senders[1].out));
    check_got(&senders[0], "");
    check_got(&senders[1], "goes");
}

static void test_what_did_not_go_before_the_end_is_told_at_the_end(void **state)
{
    (void)state;
    struct sender *s = &senders[0];
    fill_socket(s);
    put_soon(s, "waits");
    outbox_send(&loop.outbox);
    assert_int_equal(s->told, 0);
    put(s, " still");
    assert_false(stream_send_soon(&s->stream, &s->out)); /* it is known to be full now */
    outbox_end(&loop.outbox);
    assert_int_equal(s->told, 1);
    assert_int_equal(s->out.bytes, 11);
}

/* ---- in a turn ---- */

static struct timer due;
static size_t had_by_then;

static void on_due(struct timer *t)
{
    (void)t;
    had_by_then = got(&senders[0]).n;
    put(&senders[0], "late");
    assert_false(stream_send_soon(&senders[0].stream, &senders[0].out));
    loop_stop(&loop);
}

static void put_hello(struct sender *s)
{
    if (s->told == 1)
        put_soon(s, "hello");
}

static void test_what_events_put_in_leaves_before_deadlines(void **state)
{
    (void)state;
    loop.outbox.is_open = false;
    had_by_then = 0;
    senders[0].then = put_hello;
    timer_init(&due, on_due);
    timer_set_at(&loop, &due, 1); /* long ago */
    loop_run(&loop);
    timer_fini(&loop, &due);
    assert_int_equal(had_by_then, 5);
    assert_int_equal(senders[0].told, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_leave_at_the_end_and_nobody_is_told),
        TEST(test_they_leave_in_the_order_they_came_in),
        TEST(test_a_chain_grows_while_it_is_in),
        TEST(test_one_that_is_closed_is_not_sent),
        TEST(test_one_that_has_left_may_come_back),
        TEST(test_flushing_it_takes_it_out),
        TEST(test_outside_of_events_nothing_is_taken),
        TEST(test_it_takes_so_many),
        TEST(test_a_place_that_was_left_is_not_free_before_the_end),
        TEST(test_what_is_large_is_not_taken),
        TEST(test_a_file_is_not_taken_but_behind_a_head),
        TEST(test_what_is_not_counted_is_not_taken),
        TEST(test_who_cannot_write_is_not_taken),
        TEST(test_a_full_socket_is_told_once),
        TEST(test_what_was_sent_in_part_is_told_once),
        TEST(test_a_broken_one_is_told_once_that_nothing_was_sent),
        TEST(test_one_that_breaks_in_the_middle_was_sent),
        TEST(test_who_is_told_may_put_more_in),
        TEST(test_who_is_told_may_close_another),
        TEST(test_they_do_not_wait_for_something_large),
        TEST(test_something_small_does_not_send_the_others),
        TEST(test_what_did_not_go_before_the_end_is_told_at_the_end),
        TEST(test_what_events_put_in_leaves_before_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
