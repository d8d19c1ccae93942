/* A stream over two pipes: how either ends, what is done about a full one, and what is dropped. The
 * program is played by the other ends, which do not block; nothing here waits for anybody.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/duplex.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/stream.h"

enum { WINDOW = 100 * 1000, LARGE = 300 * 1000 }; /* a pipe holds 64 KiB */

static struct loop loop;
static struct stream stream;
static struct chain out;
static int writes, reads;             /* the program's ends */
static unsigned told;                 /* how often on_ready was called */
static void (*then)(struct stream *); /* what is done about it */
static char received[LARGE];

static void on_ready(struct stream *s)
{
    told++;
    if (then)
        then(s);
}

static void make_pipe(int *reading, int *writing)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    *reading = ends[0];
    *writing = ends[1];
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start(bool has_input)
{
    int from, to = -1;
    told = 0;
    then = NULL;
    reads = -1;
    assert_int_equal(loop_init(&loop), 0);
    make_pipe(&from, &writes);
    if (has_input)
        make_pipe(&reads, &to);
    chain_init(&out, &loop.bufs, WINDOW);
    assert_int_equal(duplex_open(&stream, &loop, from, to, on_ready), 0);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return start(true);
}

static int setup_without_input(void **state)
{
    (void)state;
    return start(false);
}

static void on_due(struct timer *t)
{
    (void)t;
    loop_stop(&loop);
}

/* One turn: what is ready is told. */
static void turn(void)
{
    struct timer due;
    timer_init(&due, on_due);
    timer_set_at(&loop, &due, 1); /* long ago */
    loop.stopping = false;
    loop_run(&loop);
    timer_fini(&loop, &due);
}

static int teardown(void **state)
{
    (void)state;
    chain_clear(&out);
    stream_close(&stream, false);
    turn();
    loop_fini(&loop);
    close_end(&writes);
    close_end(&reads);
    return 0;
}

static void say(const char *text)
{
    assert_int_equal(write(writes, text, strlen(text)), (ssize_t)strlen(text));
}

static void check_said(const char *text)
{
    assert_int_equal(stream_fill(&stream), (ssize_t)strlen(text));
    assert_true(slice_eq(stream_bytes(&stream), slice_str(text)));
    stream_consume(&stream, strlen(text));
}

static struct slice heard(void)
{
    ssize_t n = read(reads, received, sizeof(received));
    return slice_of(received, n > 0 ? (size_t)n : 0);
}

static void check_heard(const char *text)
{
    assert_true(slice_eq(heard(), slice_str(text)));
}

static void check_nothing_is_heard(int error)
{
    char c;
    ssize_t n = read(reads, &c, 1);
    assert_int_equal(n < 0 ? -errno : n, error);
}

/* Byte i of what is large: no two pages of it are the same. */
static char byte_at(size_t i)
{
    return (char)(i % 251);
}

/* Puts what of it there is room for; answers where it goes on. */
static size_t put_more(size_t at, size_t end)
{
    while (at < end && chain_room(&out)) {
        char piece[4096];
        size_t n = end - at < sizeof(piece) ? end - at : sizeof(piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(at + i);
        chain_copy(&out, slice_of(piece, n));
        at += n;
    }
    return at;
}

/* Without the stream's knowledge. Answers how many bytes are in it. */
static size_t fill_pipe(int fd)
{
    static const char page[4096];
    size_t total = 0;
    for (size_t n = sizeof(page); n; n /= 2)
        for (ssize_t put; (put = write(fd, page, n)) > 0;)
            total += (size_t)put;
    assert_int_equal(errno, EAGAIN);
    return total;
}

static size_t empty_pipe(void)
{
    size_t total = 0;
    for (size_t n; (n = heard().n);)
        total += n;
    return total;
}

/* ---- files and pipes ---- */

static void keep(struct source *source)
{
    (void)source;
}

static struct source make_file(size_t bytes)
{
    struct source source = {.fd = memfd_create("file", MFD_CLOEXEC), .refs = 1, .free = keep};
    for (size_t i = 0; i < bytes; i++)
        received[i] = byte_at(i);
    assert_int_equal(write(source.fd, received, bytes), (ssize_t)bytes);
    return source;
}

static struct source make_source(const char *text, int *write_fd)
{
    struct source source = {.refs = 1, .free = keep};
    make_pipe(&source.fd, write_fd);
    assert_int_equal(write(*write_fd, text, strlen(text)), (ssize_t)strlen(text));
    return source;
}

/* ---- reading ---- */

static void test_what_is_written_is_told_and_read(void **state)
{
    (void)state;
    assert_false(stream.readable);
    say("first");
    turn();
    assert_int_equal(told, 1);
    assert_true(stream.readable);
    check_said("first");
    assert_false(stream.readable); /* a short read: it was all */
    say("second");
    turn();
    assert_int_equal(told, 2);
    check_said("second");
    assert_int_equal(stream_fill(&stream), -EAGAIN);
    assert_int_equal(stream.error, 0);
}

static void test_the_end_comes_behind_what_is_in_the_pipe(void **state)
{
    (void)state;
    say("last words");
    close_end(&writes);
    turn();
    assert_true(stream.hup);
    assert_false(stream.reset);
    check_said("last words");
    assert_true(stream.readable); /* no other event will tell of the end */
    assert_int_equal(stream_fill(&stream), 0);
    assert_true(stream.eof);
    assert_int_equal(stream.error, 0);
}

static void test_the_end_alone_is_told(void **state)
{
    (void)state;
    close_end(&writes);
    turn();
    assert_int_equal(told, 1);
    assert_int_equal(stream_fill(&stream), 0);
    assert_true(stream.eof);
    turn();
    assert_int_equal(told, 1); /* once */
}

static void test_a_full_pipe_is_read_to_its_end_without_another_event(void **state)
{
    (void)state;
    size_t there = fill_pipe(writes), got = 0;
    close_end(&writes);
    turn();
    while (stream.readable) {
        ssize_t n = stream_fill(&stream);
        assert_true(n >= 0);
        got += (size_t)n;
        stream_consume(&stream, (size_t)n);
    }
    assert_int_equal(got, there);
    assert_true(stream.eof);
    assert_int_equal(told, 1);
}

static void test_it_is_spliced_to_its_end(void **state)
{
    (void)state;
    int reading, writing;
    make_pipe(&reading, &writing);
    say("by another way");
    turn();
    assert_int_equal(stream_splice(&stream, writing, 10), 10);
    assert_true(stream.readable);
    assert_int_equal(stream_splice(&stream, writing, 10), 4);
    assert_int_equal(stream_splice(&stream, writing, 10), -EAGAIN);
    assert_false(stream.readable);
    assert_int_equal(stream.error, 0);
    assert_int_equal(read(reading, received, sizeof(received)), 14);
    assert_memory_equal(received, "by another way", 14);
    say(", again");
    close_end(&writes);
    turn();
    assert_int_equal(stream_splice(&stream, writing, 10), 7);
    assert_int_equal(stream_splice(&stream, writing, 10), 0);
    assert_true(stream.eof);
    close_end(&reading);
    close_end(&writing);
}

/* ---- writing ---- */

static void test_it_may_be_written_to_at_once(void **state)
{
    (void)state;
    assert_true(stream.writable);
    chain_copy(&out, SLICE("a body"));
    assert_false(stream_send_soon(&stream, &out)); /* the outbox knows sockets only */
    assert_true(stream_flush(&stream, &out));
    check_heard("a body");
    check_nothing_is_heard(-EAGAIN);
    turn();
    assert_int_equal(told, 0); /* nobody has asked whether there is room */
}

static void test_more_pieces_than_one_write_takes_leave_in_order(void **state)
{
    (void)state;
    static const char digits[] = "0123456789";
    for (size_t i = 0; i < 50; i++)
        chain_put_static(&out, slice_of(digits + i % 10, 1));
    assert_true(stream_flush(&stream, &out));
    check_heard("01234567890123456789012345678901234567890123456789");
}

static void put_rest(struct stream *s)
{
    assert_true(stream_flush(s, &out));
}

static void test_what_has_no_room_goes_on_when_there_is_some(void **state)
{
    (void)state;
    size_t at = 0, got = 0;
    then = put_rest;
    for (unsigned rounds = 0; got < LARGE; rounds++) {
        assert_true(rounds < 100);
        at = put_more(at, LARGE);
        assert_true(stream_flush(&stream, &out));
        struct slice s = heard();
        assert_true(s.n > 0);
        for (size_t i = 0; i < s.n; i++)
            assert_int_equal(s.p[i], byte_at(got + i));
        got += s.n;
        turn();
    }
    assert_true(chain_is_empty(&out));
    assert_int_equal(stream.error, 0);
    assert_true(told > 0);
}

/* As a user gets them who has many already. */
static void test_pipes_of_one_page_take_large_bodies_as_well(void **state)
{
    assert_int_equal(fcntl(reads, F_SETPIPE_SZ, 4096), 4096);
    test_what_has_no_room_goes_on_when_there_is_some(state);
}

/* The first time it is registered, from then on it is edges that tell. */
static void test_a_full_pipe_is_waited_for_as_often_as_it_is_full(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        do
            put_more(0, WINDOW);
        while (stream_flush(&stream, &out) && stream.writable);
        assert_false(stream.writable);
        size_t waits = out.bytes;
        assert_true(waits > 0);
        turn();
        assert_int_equal(told, i - 1); /* there is no room */
        assert_true(empty_pipe() > 0);
        turn();
        assert_int_equal(told, i);
        assert_true(stream.writable);
        assert_true(stream_flush(&stream, &out));
        assert_int_equal(empty_pipe(), waits);
    }
}

static void test_it_is_told_of_room_that_came_before_it_was_waited_for(void **state)
{
    (void)state;
    do
        put_more(0, WINDOW);
    while (stream_flush(&stream, &out) && stream.writable);
    assert_true(empty_pipe() > 0);
    turn();
    assert_int_equal(told, 1);
    assert_true(stream.writable);
}

static void check_dropped(size_t bytes)
{
    assert_int_equal(out.bytes, bytes);
    assert_true(stream_flush(&stream, &out));
    assert_true(chain_is_empty(&out));
    assert_int_equal(stream.error, 0);
    assert_true(stream.writable);
}

static void test_what_nobody_reads_any_more_counts_as_sent(void **state)
{
    (void)state;
    close_end(&reads);
    chain_copy(&out, SLICE("lost"));
    check_dropped(4);
    put_more(0, WINDOW); /* and so does all that follows */
    check_dropped(out.bytes);
    turn();
    assert_int_equal(told, 0);
    say("but I can speak");
    turn();
    check_said("but I can speak");
}

static void test_who_stops_reading_a_full_pipe_is_not_waited_for(void **state)
{
    (void)state;
    do
        put_more(0, WINDOW);
    while (stream_flush(&stream, &out) && stream.writable);
    assert_true(out.bytes > 0);
    close_end(&reads);
    turn();
    assert_int_equal(told, 1);
    check_dropped(out.bytes);
    turn();
    assert_int_equal(told, 1);
}

static void test_without_a_reader_all_is_dropped(void **state)
{
    (void)state;
    chain_copy(&out, SLICE("to nobody"));
    check_dropped(9);
    stream_finish(&stream);
    say("answer");
    turn();
    check_said("answer");
}

static void test_a_part_of_it_at_a_time_is_dropped_as_well(void **state)
{
    (void)state;
    put_more(0, WINDOW);
    assert_true(stream_flush_part(&stream, &out, 1000));
    assert_true(chain_is_empty(&out));
}

static void test_an_interest_in_nothing_more_is_the_end_of_its_input(void **state)
{
    (void)state;
    chain_copy(&out, SLICE("all"));
    assert_true(stream_flush(&stream, &out));
    stream_finish(&stream);
    stream_finish(&stream);
    check_heard("all");
    check_nothing_is_heard(0);
    say("thanks");
    turn();
    check_said("thanks");
}

static void test_what_is_written_after_the_end_is_dropped(void **state)
{
    (void)state;
    stream_finish(&stream);
    chain_copy(&out, SLICE("too late"));
    check_dropped(8);
    check_nothing_is_heard(0);
}

/* ---- files and pipes in the chain ---- */

static void test_a_file_leaves_between_memory(void **state)
{
    (void)state;
    struct source file = make_file(9);
    chain_copy(&out, SLICE("head "));
    chain_put_file(&out, &file, 3, 4);
    chain_copy(&out, SLICE(" end"));
    assert_true(stream_flush(&stream, &out));
    const char expected[] = {'h', 'e', 'a', 'd', ' ', 3, 4, 5, 6, ' ', 'e', 'n', 'd'};
    assert_true(slice_eq(heard(), slice_of(expected, sizeof(expected))));
    assert_int_equal(file.refs, 1);
    close(file.fd);
}

static void test_a_large_file_goes_on_where_the_pipe_was_full(void **state)
{
    (void)state;
    struct source file = make_file(LARGE);
    size_t got = 0;
    chain_put_file(&out, &file, 0, LARGE);
    for (unsigned rounds = 0; got < LARGE; rounds++) {
        assert_true(rounds < 100);
        assert_true(stream_flush(&stream, &out));
        struct slice s = heard();
        for (size_t i = 0; i < s.n; i++)
            assert_int_equal(s.p[i], byte_at(got + i));
        got += s.n;
        turn();
    }
    assert_true(chain_is_empty(&out));
    assert_int_equal(file.refs, 1);
    close(file.fd);
}

static void test_a_large_file_goes_through_a_pipe_of_one_page(void **state)
{
    assert_int_equal(fcntl(reads, F_SETPIPE_SZ, 4096), 4096);
    test_a_large_file_goes_on_where_the_pipe_was_full(state);
}

static void test_a_file_that_has_become_shorter_is_a_failure(void **state)
{
    (void)state;
    struct source file = make_file(100);
    chain_put_file(&out, &file, 0, 100);
    assert_int_equal(ftruncate(file.fd, 40), 0);
    assert_false(stream_flush(&stream, &out));
    assert_int_equal(stream.error, -EIO);
    assert_int_equal(heard().n, 40);
    assert_int_equal(out.bytes, 60);
    chain_clear(&out);
    close(file.fd);
    assert_true(stream.readable); /* whoever reads hears of it, whatever the program says */
    say("fine");
    assert_int_equal(stream_fill(&stream), -EIO);
    assert_int_equal(stream_splice(&stream, -1, 10), -EIO);
    stream_finish(&stream);
    check_nothing_is_heard(-EAGAIN); /* what it has got is not all */
    stream_close(&stream, false);
    check_nothing_is_heard(0);
}

static void test_what_waits_in_a_pipe_leaves_between_memory(void **state)
{
    (void)state;
    int writing;
    struct source pipe = make_source("from a pipe", &writing);
    chain_copy(&out, SLICE("head "));
    chain_put_pipe(&out, &pipe, 11);
    chain_copy(&out, SLICE(" end"));
    assert_true(stream_flush(&stream, &out));
    check_heard("head from a pipe end");
    assert_int_equal(pipe.refs, 1);
    assert_int_equal(pipe.waiting, 0);
    close(pipe.fd);
    close(writing);
}

static void test_a_pipe_waits_for_room_in_the_other(void **state)
{
    (void)state;
    int writing;
    struct source pipe = make_source("from a pipe", &writing);
    do
        put_more(0, WINDOW);
    while (stream_flush(&stream, &out) && stream.writable);
    chain_clear(&out);
    stream.writable = true; /* it has not noticed */
    chain_put_pipe(&out, &pipe, 11);
    assert_true(stream_flush(&stream, &out));
    assert_false(stream.writable);
    assert_int_equal(pipe.waiting, 11);
    assert_true(empty_pipe() > 0);
    turn();
    assert_true(stream.writable);
    assert_true(stream_flush(&stream, &out));
    check_heard("from a pipe");
    close(pipe.fd);
    close(writing);
}

static void test_files_and_pipes_that_nobody_reads_are_let_go(void **state)
{
    (void)state;
    int writing;
    struct source pipe = make_source("from a pipe", &writing), file = make_file(100);
    close_end(&reads);
    chain_put_pipe(&out, &pipe, 11);
    chain_put_file(&out, &file, 0, 100);
    check_dropped(111);
    assert_int_equal(pipe.refs, 1);
    assert_int_equal(pipe.waiting, 11); /* so that it is not used again */
    assert_int_equal(file.refs, 1);
    chain_put_file(&out, &file, 0, 100);
    check_dropped(100);
    close(file.fd);
    close(pipe.fd);
    close(writing);
}

/* ---- its end ---- */

static void close_it(struct stream *s)
{
    stream_close(s, false);
}

/* Both pipes have an event in the turn in which the first of them has it closed. */
static void close_with_both_ready(bool is_gone)
{
    do
        put_more(0, WINDOW);
    while (stream_flush(&stream, &out) && stream.writable);
    chain_clear(&out);
    assert_true(empty_pipe() > 0);
    say("ready");
    if (is_gone) {
        close_end(&writes);
        close_end(&reads);
    }
    then = close_it;
    turn();
    assert_int_equal(told, 1);
    assert_int_equal(stream.watch.fd, -1);
    assert_null(stream.state);
    assert_false(stream.readable || stream.writable);
}

static void test_it_may_be_closed_while_the_other_pipe_has_an_event(void **state)
{
    (void)state;
    close_with_both_ready(false);
    check_nothing_is_heard(0);
    assert_int_equal(write(writes, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_it_may_be_closed_while_both_other_ends_are_gone(void **state)
{
    (void)state;
    close_with_both_ready(true);
}

static void finish_it(struct stream *s)
{
    stream_finish(s);
}

static void test_its_input_may_end_while_that_pipe_has_an_event(void **state)
{
    (void)state;
    do
        put_more(0, WINDOW);
    while (stream_flush(&stream, &out) && stream.writable);
    chain_clear(&out);
    assert_true(empty_pipe() > 0);
    say("ready");
    then = finish_it;
    turn();
    assert_true(told >= 1 && told <= 2); /* whichever came first */
    check_nothing_is_heard(0);
    check_said("ready");
}

static void test_closing_it_closes_both_pipes(void **state)
{
    (void)state;
    stream_close(&stream, true);
    stream_close(&stream, true);
    check_nothing_is_heard(0);
    assert_int_equal(write(writes, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
}

static void test_nothing_of_it_is_kept_or_moved(void **state)
{
    (void)state;
    assert_false(stream_is_quiet(&stream));
    assert_false(stream_is_clear(&stream));
}

static void test_what_cannot_be_watched_is_closed(void **state)
{
    (void)state;
    struct stream other;
    int to, end;
    make_pipe(&end, &to);
    int file = memfd_create("file", MFD_CLOEXEC); /* which epoll refuses */
    assert_int_equal(duplex_open(&other, &loop, file, to, on_ready), -EPERM);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    assert_int_equal(fcntl(to, F_GETFD), -1);
    close(end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITHOUT_INPUT(name)                                                                   \
    cmocka_unit_test_setup_teardown(name, setup_without_input, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_is_told_and_read),
        TEST(test_the_end_comes_behind_what_is_in_the_pipe),
        TEST(test_the_end_alone_is_told),
        TEST(test_a_full_pipe_is_read_to_its_end_without_another_event),
        TEST(test_it_is_spliced_to_its_end),
        TEST(test_it_may_be_written_to_at_once),
        TEST(test_more_pieces_than_one_write_takes_leave_in_order),
        TEST(test_what_has_no_room_goes_on_when_there_is_some),
        TEST(test_pipes_of_one_page_take_large_bodies_as_well),
        TEST(test_a_full_pipe_is_waited_for_as_often_as_it_is_full),
        TEST(test_it_is_told_of_room_that_came_before_it_was_waited_for),
        TEST(test_what_nobody_reads_any_more_counts_as_sent),
        TEST(test_who_stops_reading_a_full_pipe_is_not_waited_for),
        TEST_WITHOUT_INPUT(test_without_a_reader_all_is_dropped),
        TEST_WITHOUT_INPUT(test_a_part_of_it_at_a_time_is_dropped_as_well),
        TEST(test_an_interest_in_nothing_more_is_the_end_of_its_input),
        TEST(test_what_is_written_after_the_end_is_dropped),
        TEST(test_a_file_leaves_between_memory),
        TEST(test_a_large_file_goes_on_where_the_pipe_was_full),
        TEST(test_a_large_file_goes_through_a_pipe_of_one_page),
        TEST(test_a_file_that_has_become_shorter_is_a_failure),
        TEST(test_what_waits_in_a_pipe_leaves_between_memory),
        TEST(test_a_pipe_waits_for_room_in_the_other),
        TEST(test_files_and_pipes_that_nobody_reads_are_let_go),
        TEST(test_it_may_be_closed_while_the_other_pipe_has_an_event),
        TEST(test_it_may_be_closed_while_both_other_ends_are_gone),
        TEST(test_its_input_may_end_while_that_pipe_has_an_event),
        TEST(test_closing_it_closes_both_pipes),
        TEST(test_nothing_of_it_is_kept_or_moved),
        TEST(test_what_cannot_be_watched_is_closed),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
