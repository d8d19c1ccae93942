/* A real spawner, from the side of who asks it.
 * SPDX-License-Identifier: MIT */
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proc/spawner.h"

#define TEXTS(text, n)                                                                             \
    {                                                                                              \
        .p = (text), .bytes = sizeof(text) - 1, .count = (n)                                       \
    }

enum { SHELL, NOTHING, CGI };

static const struct spawn_def defs[] = {
    [SHELL] = {.index = SHELL,
               .argv = TEXTS("/bin/sh\0-c\0while read line; do :; done; exit {n}\0", 3),
               .env = TEXTS("A=1\0", 1)},
    [NOTHING] = {.index = NOTHING, .argv = TEXTS("/nonexistent/program\0", 1)},
    [CGI] = {.index = CGI, .kind = SPAWN_CGI, .argv = {.p = ""}, .directory = SLICE_INIT("/bin")},
};

static struct run {
    struct spawner spawner;
    struct loop loop;
    struct spawn spawn;
    struct spawn_child child;
    int error;
    enum spawn_stage stage;
    struct spawn_exit exit;
} r;

static void on_started(struct spawn_child *c, int error, enum spawn_stage stage)
{
    (void)c;
    r.error = error;
    r.stage = stage;
    loop_stop(&r.loop);
}

static void on_exited(struct spawn_child *c, const struct spawn_exit *exit)
{
    (void)c;
    r.exit = *exit;
    loop_stop(&r.loop);
}

static int begin(void **state)
{
    (void)state;
    memset(&r, 0, sizeof(r));
    assert_int_equal(spawner_start(&r.spawner), 0);
    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++)
        assert_int_equal(spawner_define(r.spawner.fd, &defs[i]), 0);
    assert_int_equal(loop_init(&r.loop), 0);
    int channel = spawner_channel(r.spawner.fd);
    assert_true(channel >= 0);
    assert_int_equal(spawn_init(&r.spawn, &r.loop, channel), 0);
    spawn_child_init(&r.child);
    r.child.on_started = on_started;
    r.child.on_exited = on_exited;
    return 0;
}

static int end(void **state)
{
    (void)state;
    int status = -1;
    spawn_fini(&r.spawn);
    loop_fini(&r.loop);
    close(r.spawner.fd);
    assert_int_equal(waitpid(r.spawner.pid, &status, 0), r.spawner.pid);
    return 0;
}

/* Until something is told. */
static void run(void)
{
    r.loop.stopping = false;
    loop_run(&r.loop);
}

/* Starts it with an input, and waits until that is told. */
static void start(uint32_t def, uint32_t number, struct slice program, int input)
{
    struct spawn_order order = {
        .def = def, .number = number, .program = program, .fd_count = input >= 0, .targets = {0}};
    assert_int_equal(spawn_start(&r.spawn, &r.child, &order, &input), 0);
    run();
}

static void test_a_process_runs_and_its_exit_is_told(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    start(SHELL, 7, SLICE_NONE, fds[0]);
    assert_int_equal(r.error, 0);
    assert_true(r.child.pid > 0 && r.child.state == CHILD_RUNNING);
    close(fds[1]);
    run();
    assert_int_equal(r.exit.status, 7);
    assert_int_equal(r.exit.signo, 0);
    assert_int_equal(r.child.state, CHILD_NONE);
    close(fds[0]);
}

static void test_a_signal_reaches_it(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    start(SHELL, 0, SLICE_NONE, fds[0]);
    spawn_signal(&r.spawn, &r.child, SIGTERM);
    run();
    assert_int_equal(r.exit.signo, SIGTERM);
    close(fds[0]);
    close(fds[1]);
}

static void test_why_it_did_not_start_is_told(void **state)
{
    (void)state;
    static const struct {
        uint32_t def;
        const char *program;
        int error;
        enum spawn_stage stage;
    } table[] = {
        {NOTHING, "", -ENOENT, STAGE_EXEC},
        {99, "", -ENOENT, STAGE_DEFINITION},
        {SHELL, "sh", -EINVAL, STAGE_PROGRAM}, /* only CGI names programs */
        {CGI, "none", -ENOENT, STAGE_PROGRAM},
        {CGI, "../bin/none", -EXDEV, STAGE_PROGRAM}, /* out of its directory */
        {CGI, "/bin/sh", -ENOENT, STAGE_PROGRAM},
        {CGI, "..", -EXDEV, STAGE_PROGRAM},
        {CGI, ".hidden", -ENOENT, STAGE_PROGRAM},
        {CGI, "", -ENOENT, STAGE_PROGRAM},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        start(table[i].def, 0, slice_str(table[i].program), -1);
        if (r.error != table[i].error || r.stage != table[i].stage)
            fail_msg("%zu: %d, %s", i, r.error, spawn_stage_name(r.stage));
        assert_int_equal(r.child.state, CHILD_NONE);
    }
}

/* So that what is sent meanwhile comes together. */
static void stop_spawner(void)
{
    assert_int_equal(kill(r.spawner.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(r.spawner.pid, NULL, WUNTRACED), r.spawner.pid);
}

static void test_what_was_defined_by_another_channel_meanwhile_runs(void **state)
{
    (void)state;
    static const struct spawn_def late = {.index = 60, .argv = TEXTS("/bin/sh\0-c\0exit 3\0", 3)};
    struct spawn_order order = {.def = late.index};
    stop_spawner();
    assert_int_equal(spawn_start(&r.spawn, &r.child, &order, NULL), 0); /* it sees this first */
    assert_int_equal(spawner_define(r.spawner.fd, &late), 0);
    assert_int_equal(kill(r.spawner.pid, SIGCONT), 0);
    run();
    assert_int_equal(r.error, 0);
    if (r.child.state != CHILD_NONE)
        run();
    assert_int_equal(r.exit.status, 3);
}

static void test_a_sealed_channel_defines_nothing(void **state)
{
    (void)state;
    struct message m = {.type = MESSAGE_DEFINE, .def = defs[SHELL]};
    m.def.index = 50;
    struct spawn_order order = {.def = 50};
    stop_spawner();
    assert_int_equal(channel_send(&r.spawn.channel, &m, NULL, 0), 0);
    assert_int_equal(spawn_start(&r.spawn, &r.child, &order, NULL), 0);
    assert_int_equal(kill(r.spawner.pid, SIGCONT), 0);
    run(); /* until the channel is closed on us */
    assert_true(r.exit.lost);
    assert_false(spawn_is_connected(&r.spawn));
    assert_int_equal(spawn_start(&r.spawn, &r.child, &order, NULL), -ENOTCONN);
}

static void test_processes_end_with_their_channel(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    start(SHELL, 0, SLICE_NONE, fds[0]);
    close(fds[0]);
    spawn_fini(&r.spawn);
    channel_init(&r.spawn.channel, &r.loop, 64); /* for end() */
    list_init(&r.spawn.children);
    signal(SIGPIPE, SIG_IGN);
    while (write(fds[1], "\n", 1) == 1) /* as long as somebody may read it */
        usleep(1000);
    assert_int_equal(errno, EPIPE);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_process_runs_and_its_exit_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_a_signal_reaches_it, begin, end),
        cmocka_unit_test_setup_teardown(test_why_it_did_not_start_is_told, begin, end),
        cmocka_unit_test_setup_teardown(test_what_was_defined_by_another_channel_meanwhile_runs,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_sealed_channel_defines_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_processes_end_with_their_channel, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
