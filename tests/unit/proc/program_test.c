/* SPDX-License-Identifier: MIT */
#include "proc/program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

static void test_without_descriptors_nobody_knows_what_there_is(void **state)
{
    (void)state;
    size_t n;
    struct rlimit before, now;
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int spare = 0; spare < 2; spare++) { /* for the directory, and for the program */
        now = (struct rlimit){(rlim_t)(lowest + spare), before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
        int error = program_find(&def, SLICE("/run"), &n);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(error, -EMFILE);
    }
}

static void test_our_ends_of_the_pipes_do_not_block(void **state)
{
    (void)state;
    struct program_pipes p;
    char byte = 'x';
    assert_int_equal(program_open_pipes(&p, true), 0);
    assert_int_equal(fcntl(p.output, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(p.input, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(p.its_output, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(p.its_input, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(p.its_output, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(p.its_output, &byte, 1), 1);
    assert_int_equal(read(p.output, &byte, 1), 1);
    assert_int_equal(write(p.input, &byte, 1), 1);
    assert_int_equal(read(p.its_input, &byte, 1), 1);
    program_close_its_ends(&p);
    assert_int_equal(read(p.output, &byte, 1), 0);
    program_close_pipes(&p);
    assert_int_equal(p.output, -1);
    assert_int_equal(p.input, -1);
}

static void test_without_input_there_is_one_pipe(void **state)
{
    (void)state;
    struct program_pipes p;
    assert_int_equal(program_open_pipes(&p, false), 0);
    assert_true(p.output >= 0 && p.its_output >= 0);
    assert_int_equal(p.input, -1);
    assert_int_equal(p.its_input, -1);
    program_close_pipes(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_segment_that_is_a_file_is_the_program),
        cmocka_unit_test(test_a_path_that_is_too_long_names_nothing),
        cmocka_unit_test(test_without_descriptors_nobody_knows_what_there_is),
        cmocka_unit_test(test_our_ends_of_the_pipes_do_not_block),
        cmocka_unit_test(test_without_input_there_is_one_pipe),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
