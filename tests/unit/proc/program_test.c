/* SPDX-License-Identifier: MIT */
#include "proc/program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/program-XXXXXX";
static struct spawn_def def = {.kind = SPAWN_CGI};

static void make(const char *name, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = mode & S_IFDIR ? mkdir(path, 0755) : open(path, O_CREAT | O_WRONLY, mode);
    assert_true(fd >= 0);
    if (!(mode & S_IFDIR))
        close(fd);
}

static int make_tree(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    def.directory = slice_str(dir);
    make("run", 0755);
    make("plain", 0644);
    make("sub", S_IFDIR);
    make("sub/run", 0755);
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    static const char *const names[] = {"sub/run", "sub", "plain", "run", ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        if (unlink(path) < 0)
            rmdir(path);
    }
    return 0;
}

static void test_the_first_segment_that_is_a_file_is_the_program(void **state)
{
    (void)state;
    static const struct {
        const char *path, *program;
        int error;
    } table[] = {
        {"/run", "/run", 0},
        {"/run/more/info", "/run", 0},
        {"/run/", "/run", 0},
        {"/sub/run", "/sub/run", 0},
        {"/sub/run/x", "/sub/run", 0},
        {"/sub", "", -ENOENT},
        {"/sub/", "", -ENOENT},
        {"/none", "", -ENOENT},
        {"/none/run", "", -ENOENT},
        {"/", "", -ENOENT},
        {"", "", -ENOENT},
        {"/plain", "", -EACCES},
        {"/plain/x", "", -EACCES},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t n = 0;
        int error = program_find(&def, slice_str(table[i].path), &n);
        if (error != table[i].error)
            fail_msg("%s: %d", table[i].path, error);
        if (!error)
            assert_int_equal(n, strlen(table[i].program));
    }
}

static void test_a_path_that_is_too_long_names_nothing(void **state)
{
    (void)state;
    char path[PROGRAM_PATH_MAX + 2];
    size_t n;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    assert_int_equal(program_find(&def, slice_of(path, sizeof(path)), &n), -ENOENT);
}

static void test_our_end_of_a_stream_does_not_block(void **state)
{
    (void)state;
    int ours, programs;
    char byte;
    assert_int_equal(program_stream(&ours, &programs), 0);
    assert_int_equal(read(ours, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(programs, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(programs, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(ours);
    assert_int_equal(read(programs, &byte, 1), 0);
    close(programs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_segment_that_is_a_file_is_the_program),
        cmocka_unit_test(test_a_path_that_is_too_long_names_nothing),
        cmocka_unit_test(test_our_end_of_a_stream_does_not_block),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
