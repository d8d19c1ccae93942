/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

struct place {
    char dir[64];
    char a[96], b[96], old[96];
};

static void place_begin(struct place *p)
{
    snprintf(p->dir, sizeof(p->dir), "/tmp/log-writer-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->a, sizeof(p->a), "%s/a", p->dir);
    snprintf(p->b, sizeof(p->b), "%s/b", p->dir);
    snprintf(p->old, sizeof(p->old), "%s/old", p->dir);
}

static void place_end(struct place *p)
{
    unlink(p->a);
    unlink(p->b);
    unlink(p->old);
    assert_int_equal(rmdir(p->dir), 0);
}

/* The whole file, with a NUL behind it; to be freed by test_free(). */
static char *read_all(const char *path, size_t *n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *text = test_malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
    text[st.st_size] = '\0';
    *n = (size_t)st.st_size;
    close(fd);
    return text;
}

static void assert_file(const char *path, const char *expected)
{
    size_t n;
    char *text = read_all(path, &n);
    assert_string_equal(text, expected);
    test_free(text);
}

static struct log_writer *writer(size_t lane_bytes)
{
    int error;
    struct log_writer *w = log_writer_new(lane_bytes, &error);
    assert_non_null(w);
    return w;
}

static struct log_output *output(struct log_writer *w, const char *path)
{
    int error;
    struct log_output *o = log_output_open(w, path, &error);
    assert_non_null(o);
    return o;
}

static void test_lines_are_there_after_a_flush(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *a = output(w, p.a), *b = output(w, p.b);
    log_writer_put(a, SLICE("one\n"));
    log_writer_attach(w);
    log_writer_put(b, SLICE("two\n"));
    log_writer_flush(w, 5000);
    assert_file(p.a, "one\n");
    assert_file(p.b, "two\n");
    log_writer_put(b, SLICE("three\n"));
    log_writer_put(a, SLICE("four\n"));
    log_writer_put(b, SLICE("five\n"));
    log_writer_detach(w);
    log_writer_free(w); /* writes the rest */
    assert_file(p.a, "one\nfour\n");
    assert_file(p.b, "two\nthree\nfive\n");
    place_end(&p);
}

/* Without a flush, and after the writer has gone to sleep: the first line wakes it. */
static void test_a_line_after_a_quiet_time_is_written_by_itself(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *a = output(w, p.a);
    struct timespec quiet = {.tv_nsec = 3 * LOG_WRITER_NAP_MS * 1000000L};
    for (int round = 1; round <= 3; round++) {
        nanosleep(&quiet, NULL);
        log_writer_put(a, SLICE("x\n"));
        struct stat st = {0};
        for (int tries = 0; tries < 5000 && st.st_size < 2 * round; tries++) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
            stat(p.a, &st);
        }
        assert_int_equal(st.st_size, 2 * round);
    }
    log_writer_free(w);
    place_end(&p);
}

/* ---- several producers ---- */

enum { PRODUCERS = 4, LINES = 20000 };

struct producer {
    pthread_t thread;
    struct log_writer *writer;
    struct log_output *a, *b;
    int n;
    bool own_lane;
};

/* Waits now and then, so that nothing needs to be dropped. */
static void *produce(void *ctx)
{
    struct producer *p = ctx;
    if (p->own_lane)
        log_writer_attach(p->writer);
    for (int i = 0; i < LINES; i++) {
        char line[300];
        int n = snprintf(line, sizeof(line), "%d %d %.*s\n", p->n, i, i % 200,
                         "........................................................................."
                         "........................................................................."
                         "......................................................");
        log_writer_put(i % 3 ? p->a : p->b, slice_of(line, (size_t)n));
        if (i % 100 == 99)
            log_writer_flush(p->writer, 5000);
    }
    if (p->own_lane)
        log_writer_detach(p->writer);
    return NULL;
}

static uint64_t number(struct slice *text, char end)
{
    size_t at = slice_find(*text, end);
    uint64_t v = 0;
    assert_true(at < text->n && num_dec(slice_first(*text, at), &v));
    *text = slice_skip(*text, at + 1);
    return v;
}

/* Every line whole, and those of one producer in their order. */
static uint64_t check_file(const char *path)
{
    size_t n;
    char *all = read_all(path, &n);
    struct slice text = slice_of(all, n);
    int64_t last[PRODUCERS] = {-1, -1, -1, -1};
    uint64_t lines = 0;
    for (; text.n; lines++) {
        uint64_t who = number(&text, ' ');
        uint64_t i = number(&text, ' ');
        assert_true(who < PRODUCERS && (int64_t)i > last[who]);
        last[who] = (int64_t)i;
        assert_true(text.n > i % 200 && text.p[i % 200] == '\n');
        for (size_t at = 0; at < i % 200; at++)
            assert_int_equal(text.p[at], '.');
        text = slice_skip(text, i % 200 + 1);
    }
    test_free(all);
    return lines;
}

static void run_producers(size_t lane_bytes, bool own_lanes)
{
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(lane_bytes);
    struct producer producers[PRODUCERS];
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.writer = w,
                                         .a = output(w, p.a),
                                         .b = output(w, p.b),
                                         .n = i,
                                         .own_lane = own_lanes || i % 2};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
    }
    for (int i = 0; i < 5; i++) {
        log_writer_reopen(w);
        log_writer_flush(w, 5000);
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i].thread, NULL);
    uint64_t dropped = log_writer_dropped(w);
    log_writer_free(w);
    assert_int_equal(check_file(p.a) + check_file(p.b) + dropped, PRODUCERS * LINES);
    if (own_lanes && lane_bytes == 0)
        assert_int_equal(dropped, 0);
    place_end(&p);
}

static void test_lines_of_many_threads_stay_whole_and_in_order(void **state)
{
    (void)state;
    run_producers(0, true);
}

static void test_small_lanes_wrap_around_and_threads_may_share_one(void **state)
{
    (void)state;
    run_producers(LOG_LINE_MAX, true);
    run_producers(8192, false);
}

/* ---- when the file does not keep up ---- */

static void fill_pipe(int fd)
{
    char block[4096] = {0};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    while (write(fd, block, 1) > 0)
        ;
    fcntl(fd, F_SETFL, 0);
}

static void *drain(void *ctx)
{
    char block[65536];
    while (read(*(int *)ctx, block, sizeof(block)) > 0)
        ;
    return NULL;
}

/* A pipe that nobody reads: putting returns at once, and once it is read the loss is told. */
static void test_a_full_lane_drops_and_tells_how_many(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    assert_int_equal(mkfifo(p.a, 0600), 0);
    int fifo = open(p.a, O_RDWR | O_CLOEXEC);
    fill_pipe(fifo);
    struct log_writer *w = writer(4096);
    struct log_output *slow = output(w, p.a), *errors = output(w, p.b);
    log_writer_install(w, errors, LOG_TEXT);
    log_writer_attach(w);
    for (int i = 0; i < 1000; i++)
        log_writer_put(slow, SLICE("0123456789 0123456789 0123456789\n"));
    uint64_t dropped = log_writer_dropped(w);
    assert_true(dropped > 800 && dropped < 1000);
    int reader = open(p.a, O_RDONLY | O_CLOEXEC);
    close(fifo);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &reader), 0);
    log_writer_flush(w, 5000);
    log_writer_flush(w, 5000);
    log_writer_detach(w);
    log_writer_free(w);
    pthread_join(thread, NULL);
    close(reader);
    char expected[64];
    snprintf(expected, sizeof(expected), "error %llu log lines were dropped",
             (unsigned long long)dropped);
    size_t n;
    char *text = read_all(p.b, &n);
    assert_non_null(strstr(text, expected));
    test_free(text);
    place_end(&p);
}

static void test_a_line_longer_than_a_lane_is_dropped(void **state)
{
    (void)state;
    static char big[8192];
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(4096);
    struct log_output *a = output(w, p.a);
    log_writer_put(a, slice_of(big, 4096 - 7));
    log_writer_put(a, slice_of(big, 4096));
    log_writer_put(a, slice_of(big, 8192));
    assert_int_equal(log_writer_dropped(w), 3);
    log_writer_put(a, slice_of(big, 4096 - 8));
    log_writer_free(w);
    struct stat st;
    stat(p.a, &st);
    assert_int_equal(st.st_size, 4096 - 8);
    place_end(&p);
}

static void test_a_file_that_fails_is_told_and_does_not_hang(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *full = output(w, "/dev/full"), *errors = output(w, p.b);
    log_writer_install(w, errors, LOG_TEXT);
    log_writer_put(full, SLICE("x\n"));
    log_writer_flush(w, 5000);
    log_writer_flush(w, 5000);
    size_t n;
    char *text = read_all(p.b, &n);
    assert_non_null(strstr(text, "1 lines of the log /dev/full are lost: No space left"));
    test_free(text);
    log_writer_install(w, full, LOG_TEXT); /* nowhere to tell it, and no end of telling */
    log_error(0, "y");
    log_writer_free(w);
    place_end(&p);
}

static void test_files_are_opened_again_on_request(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *a = output(w, p.a);
    log_writer_put(a, SLICE("before\n"));
    log_writer_flush(w, 5000);
    assert_int_equal(rename(p.a, p.old), 0);
    log_writer_put(a, SLICE("still the old one\n"));
    log_writer_flush(w, 5000);
    log_writer_reopen(w);
    log_writer_flush(w, 5000);
    log_writer_put(a, SLICE("after\n"));
    log_writer_free(w);
    assert_file(p.old, "before\nstill the old one\n");
    assert_file(p.a, "after\n");
    place_end(&p);
}

static void test_a_path_is_opened_once_and_closed_with_its_last_user(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *one = output(w, p.a), *two = output(w, p.a);
    assert_ptr_equal(one, two);
    log_output_close(one);
    log_writer_put(two, SLICE("open\n"));
    log_output_close(two); /* what was put before is still written */
    struct log_output *again = output(w, p.a);
    log_writer_put(again, SLICE("again\n"));
    for (int i = 0; i < 200; i++) { /* places are used again */
        struct log_output *b = output(w, p.b);
        log_writer_put(b, SLICE("b\n"));
        log_output_close(b);
        log_writer_flush(w, 5000);
    }
    log_writer_free(w);
    assert_file(p.a, "open\nagain\n");
    int error;
    w = writer(0);
    assert_null(log_output_open(w, "/nonexistent-directory/log", &error));
    assert_int_equal(error, -ENOENT);
    log_writer_free(w);
    place_end(&p);
}

static void test_a_line_that_comes_after_the_close_goes_nowhere(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    struct log_output *o = output(w, p.a);
    log_output_close(o);
    log_writer_flush(w, 5000);
    int fd = open(p.b, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* where the log's was */
    assert_true(fd >= 0);
    log_writer_put(o, SLICE("late\n"));
    log_writer_flush(w, 5000);
    log_writer_free(w);
    close(fd);
    assert_file(p.b, "");
    place_end(&p);
}

static void test_a_pipe_without_a_reader_is_not_waited_for(void **state)
{
    (void)state;
    struct place p;
    int error;
    place_begin(&p);
    struct log_writer *w = writer(0);
    assert_int_equal(mkfifo(p.a, 0600), 0);
    assert_null(log_output_open(w, p.a, &error));
    assert_int_equal(error, -ENXIO);
    int reader = open(p.a, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct log_output *o = output(w, p.a);
    close(reader);
    log_writer_reopen(w);
    log_writer_flush(w, 5000);
    assert_ptr_equal(output(w, p.a), o); /* others are not held up */
    log_writer_free(w);
    place_end(&p);
}

/* time() may be a tick behind the clock that lines are stamped by. */
static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static void test_messages_of_base_arrive_with_their_time(void **state)
{
    (void)state;
    struct place p;
    place_begin(&p);
    struct log_writer *w = writer(0);
    log_writer_install(w, output(w, p.a), LOG_TEXT);
    time_t before = seconds_now();
    log_warn(0x2a, "something is %s", "odd");
    log_writer_free(w);
    log_warn(0, "nobody hears this");
    size_t n;
    char *text = read_all(p.a, &n);
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
    time_t at = timegm(&tm);
    assert_true(at >= before && at <= seconds_now());
    assert_string_equal(strchr(text, 'Z'), "Z warn [000000000000002a] something is odd\n");
    test_free(text);
    place_end(&p);
}

/* The point of it all: putting a line makes no system call while the writer is awake. Measured by
 * the switches between threads that waking it would cause. */
static void test_putting_lines_does_not_wake_the_writer_each_time(void **state)
{
    (void)state;
    struct log_writer *w = writer(1 << 20);
    struct log_output *o = output(w, "/dev/null");
    log_writer_attach(w);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 5000; i++)
        log_writer_put(o, SLICE("0123456789 0123456789 0123456789 0123456789\n"));
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 500);
    assert_int_equal(log_writer_dropped(w), 0);
    log_writer_detach(w);
    log_writer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_there_after_a_flush),
        cmocka_unit_test(test_a_line_after_a_quiet_time_is_written_by_itself),
        cmocka_unit_test(test_lines_of_many_threads_stay_whole_and_in_order),
        cmocka_unit_test(test_small_lanes_wrap_around_and_threads_may_share_one),
        cmocka_unit_test(test_a_full_lane_drops_and_tells_how_many),
        cmocka_unit_test(test_a_line_longer_than_a_lane_is_dropped),
        cmocka_unit_test(test_a_file_that_fails_is_told_and_does_not_hang),
        cmocka_unit_test(test_files_are_opened_again_on_request),
        cmocka_unit_test(test_a_path_is_opened_once_and_closed_with_its_last_user),
        cmocka_unit_test(test_a_line_that_comes_after_the_close_goes_nowhere),
        cmocka_unit_test(test_a_pipe_without_a_reader_is_not_waited_for),
        cmocka_unit_test(test_messages_of_base_arrive_with_their_time),
        cmocka_unit_test(test_putting_lines_does_not_wake_the_writer_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
