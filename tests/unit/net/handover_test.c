/* What one program hands to the next: sockets by name, however many, and what is said of it.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/handover.h"
#include "net/listener.h"

enum { MANY = 300 };

static int channel; /* the old program's end */

/* The new program's part, with its end in the environment. */
static void begin(struct handover *h)
{
    char number[16];
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    channel = ends[0];
    snprintf(number, sizeof(number), "%d", ends[1]);
    setenv("SLUICE_HANDOVER", number, 1);
    handover_open(h);
    assert_true(handover_is_open(h));
    assert_null(getenv("SLUICE_HANDOVER"));
    assert_true(fcntl(h->channel, F_GETFD) & FD_CLOEXEC);
}

static int listen_somewhere(void)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_without_anybody_before_us_there_is_nothing(void **state)
{
    (void)state;
    static const char *const values[] = {"", "x", "-1", "99999", "4294967296"};
    struct handover h;
    unsetenv("SLUICE_HANDOVER");
    handover_open(&h);
    assert_false(handover_is_open(&h));
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        setenv("SLUICE_HANDOVER", values[i], 1);
        handover_open(&h);
        assert_false(handover_is_open(&h));
    }
    assert_int_equal(handover_receive(&h), 0);
    assert_int_equal(handover_say_serving(&h), 0);
    handover_say_failed(&h, SLICE("why"));
    handover_close(&h);
}

static void test_sockets_come_by_their_names_however_many(void **state)
{
    (void)state;
    struct handover h;
    int fds[MANY], one = listen_somewhere();
    for (int i = 0; i < MANY; i++)
        fds[i] = one;
    begin(&h);
    assert_int_equal(handover_send(channel, SLICE("Lone"), &one, 1), 0);
    assert_int_equal(handover_send(channel, SLICE("Lmany"), fds, MANY), 0);
    assert_int_equal(handover_send(channel, SLICE("Lmany"), &one, 1), 0); /* another group */
    assert_int_equal(handover_send_end(channel), 0);
    assert_int_equal(handover_receive(&h), 0);
    assert_int_equal(h.count, 3);
    assert_string_equal(h.groups[0].name, "Lone");
    assert_string_equal(h.groups[1].name, "Lmany");
    assert_int_equal(h.groups[0].count, 1);
    assert_int_equal(h.groups[1].count, MANY);
    struct handover_group g = handover_take(&h.groups[1]);
    assert_null(h.groups[1].name);
    assert_int_equal(g.count, MANY);
    for (uint32_t i = 0; i < g.count; i++) {
        assert_true(listener_is_one(g.fds[i]));
        assert_true(fcntl(g.fds[i], F_GETFD) & FD_CLOEXEC);
    }
    int untaken = h.groups[0].fds[0];
    handover_close(&h);
    assert_int_equal(fcntl(untaken, F_GETFD), -1); /* nobody wanted it */
    for (uint32_t i = 0; i < g.count; i++)
        close(g.fds[i]);
    free(g.fds);
    close(one);
    close(channel);
}

/* As far as the old program can go wrong. */
static void test_what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const messages[] = {"X", "Lname without a socket", "S"};
    struct handover h;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        begin(&h);
        assert_true(send(channel, messages[i], strlen(messages[i]), 0) > 0);
        assert_int_equal(handover_receive(&h), -EPROTO);
        handover_close(&h);
        close(channel);
    }
    begin(&h);
    close(channel);
    assert_int_equal(handover_receive(&h), -ENOTCONN);
    assert_int_equal(handover_say_serving(&h), -EPIPE);
    handover_close(&h);
}

static void test_the_old_program_hears_how_it_goes(void **state)
{
    (void)state;
    struct handover h;
    char words[16];
    int one = listen_somewhere();
    begin(&h);
    assert_int_equal(handover_listen(channel, words, sizeof(words)), HANDOVER_NOTHING);
    assert_int_equal(handover_say_serving(&h), 0);
    assert_int_equal(handover_listen(channel, words, sizeof(words)), HANDOVER_SERVES);
    handover_close(&h);
    assert_int_equal(handover_listen(channel, words, sizeof(words)), HANDOVER_ENDED);
    close(channel);

    begin(&h); /* and ends with sockets unread */
    assert_int_equal(handover_send(channel, SLICE("L"), &one, 1), 0);
    handover_say_failed(&h, SLICE("because it is too long for the room"));
    handover_close(&h);
    assert_int_equal(handover_listen(channel, words, sizeof(words)), HANDOVER_FAILED);
    assert_string_equal(words, "because it is t");
    assert_int_equal(handover_listen(channel, words, sizeof(words)), HANDOVER_ENDED);
    close(channel);
    close(one);
}

static void test_a_program_is_started_with_the_channel(void **state)
{
    (void)state;
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"},
                          (char[]){"test -S /proc/self/fd/$SLUICE_HANDOVER"}, NULL};
    char *const none[] = {(char[]){"/no/such/program"}, NULL};
    char words[200];
    pid_t pid;
    int status, fd = handover_spawn(argv, &pid);
    assert_true(fd >= 0 && pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(handover_listen(fd, words, sizeof(words)), HANDOVER_ENDED);
    close(fd);
    fd = handover_spawn(none, &pid);
    assert_true(fd >= 0 && pid == 0);
    assert_int_equal(handover_listen(fd, words, sizeof(words)), HANDOVER_FAILED);
    assert_string_equal(words, "cannot start /no/such/program: No such file or directory");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_anybody_before_us_there_is_nothing),
        cmocka_unit_test(test_sockets_come_by_their_names_however_many),
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_the_old_program_hears_how_it_goes),
        cmocka_unit_test(test_a_program_is_started_with_the_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
