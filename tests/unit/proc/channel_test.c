/* SPDX-License-Identifier: MIT */
#include "proc/channel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Two ends on one loop; what `there` hears. */
static struct ends {
    struct loop loop;
    struct channel here, there;
    uint64_t heard[4096];
    uint32_t count;
    int fd; /* the newest that came along */
    uint32_t end_at;
    const char *closed;
} e;

static void on_message(struct channel *c, const struct message *m, struct slice packet,
                       struct channel_fds *fds)
{
    (void)packet;
    assert_ptr_equal(c, &e.there);
    e.heard[e.count++] = m->type == MESSAGE_SIGNAL ? m->signal.id : m->type;
    if (fds->count) {
        e.fd = fds->fd[0];
        fds->fd[0] = -1;
    }
    if (e.count == e.end_at)
        loop_stop(&e.loop);
}

static void on_closed(struct channel *c, const char *why)
{
    (void)c;
    e.closed = why;
    loop_stop(&e.loop);
}

static int open_ends(void **state)
{
    (void)state;
    int fds[2];
    memset(&e, 0, sizeof(e));
    e.fd = -1;
    assert_int_equal(loop_init(&e.loop), 0);
    assert_int_equal(channel_pair(fds), 0);
    channel_init(&e.here, &e.loop, 256);
    channel_init(&e.there, &e.loop, 64);
    e.here.on_message = e.there.on_message = on_message;
    e.here.on_closed = e.there.on_closed = on_closed;
    assert_int_equal(channel_open(&e.here, fds[0]), 0);
    assert_int_equal(channel_open(&e.there, fds[1]), 0);
    return 0;
}

static int close_ends(void **state)
{
    (void)state;
    channel_fini(&e.here);
    channel_fini(&e.there);
    loop_fini(&e.loop);
    return 0;
}

static int send_id(uint64_t id, const int *fds, uint32_t fd_count)
{
    struct message m = {.type = MESSAGE_SIGNAL, .signal = {.id = id, .signo = 15}};
    return channel_send(&e.here, &m, fds, fd_count);
}

static void test_messages_arrive_in_order_even_when_there_is_no_room(void **state)
{
    (void)state;
    e.end_at = 4000;
    for (uint32_t i = 0; i < e.end_at; i++)
        assert_int_equal(send_id(i + 1, NULL, 0), 0);
    assert_false(list_is_empty(&e.here.unsent)); /* the socket's buffer is smaller */
    loop_run(&e.loop);
    for (uint32_t i = 0; i < e.end_at; i++)
        assert_int_equal(e.heard[i], i + 1);
    assert_true(list_is_empty(&e.here.unsent));
}

static void test_descriptors_come_along(void **state)
{
    (void)state;
    int pipe_fds[2];
    char byte;
    assert_int_equal(pipe(pipe_fds), 0);
    e.end_at = 1;
    assert_int_equal(send_id(1, &pipe_fds[1], 1), 0);
    close(pipe_fds[1]);
    loop_run(&e.loop);
    assert_true(e.fd >= 0);
    assert_int_equal(write(e.fd, "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    close(e.fd);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* nobody else has it */
    close(pipe_fds[0]);
}

static void test_the_end_of_one_side_is_told_to_the_other(void **state)
{
    (void)state;
    channel_close(&e.here);
    loop_run(&e.loop);
    assert_string_equal(e.closed, "closed by the other end");
    assert_false(channel_is_open(&e.there));
    assert_int_equal(send_id(1, NULL, 0), -ENOTCONN);
}

static void test_nonsense_closes_the_channel(void **state)
{
    (void)state;
    assert_int_equal(send(e.here.watch.fd, "nonsense", 8, 0), 8);
    loop_run(&e.loop);
    assert_non_null(e.closed);
    assert_int_equal(e.count, 0);
}

static void test_a_message_that_is_too_long_closes_the_channel(void **state)
{
    (void)state;
    char packet[65] = {0};
    assert_int_equal(send(e.here.watch.fd, packet, sizeof(packet), 0), sizeof(packet));
    loop_run(&e.loop);
    assert_string_equal(e.closed, "a message is too long, or descriptors are short");
}

static void test_only_a_socket_of_the_kind_is_adopted(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_true(channel_adopt(fds[0]) < 0);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(channel_adopt(fds[0]), -EINVAL);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_messages_arrive_in_order_even_when_there_is_no_room,
                                        open_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_descriptors_come_along, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_the_end_of_one_side_is_told_to_the_other, open_ends,
                                        close_ends),
        cmocka_unit_test_setup_teardown(test_nonsense_closes_the_channel, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(test_a_message_that_is_too_long_closes_the_channel,
                                        open_ends, close_ends),
        cmocka_unit_test(test_only_a_socket_of_the_kind_is_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
