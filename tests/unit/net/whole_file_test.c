/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "net/whole_file.h"

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/whole_file_test.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/state", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char other[128];
    (void)state;
    unlink(path);
    snprintf(other, sizeof(other), "%s.bad", path);
    unlink(other);
    return rmdir(folder); /* fails if anything else was left */
}

static void test_what_was_written_is_read(void **state)
{
    char *text;
    size_t n;
    (void)state;
    assert_int_equal(whole_file_write(path, SLICE("one")), 0);
    assert_int_equal(whole_file_write(path, SLICE("longer than one")), 0);
    assert_int_equal(whole_file_read(path, 100, &text, &n), 0);
    assert_int_equal(n, 15);
    assert_string_equal(text, "longer than one");
    free(text);
    assert_int_equal(whole_file_write(path, SLICE("")), 0);
    assert_int_equal(whole_file_read(path, 100, &text, &n), 0);
    assert_int_equal(n, 0);
    free(text);
}

static void test_the_old_file_stays_where_the_new_one_cannot_be_made(void **state)
{
    char *text, temp[128];
    size_t n;
    (void)state;
    assert_int_equal(whole_file_write(path, SLICE("old")), 0);
    snprintf(temp, sizeof(temp), "%s.new", path);
    assert_int_equal(mkdir(temp, 0700), 0); /* in the way */
    assert_int_equal(whole_file_write(path, SLICE("new")), -EISDIR);
    assert_int_equal(whole_file_read(path, 100, &text, &n), 0);
    assert_string_equal(text, "old");
    free(text);
    rmdir(temp);
    assert_int_equal(whole_file_write("/nowhere/at/all", SLICE("x")), -ENOENT);
}

static void test_a_link_planted_for_the_new_file_is_not_followed(void **state)
{
    char temp[128], victim[128];
    (void)state;
    snprintf(temp, sizeof(temp), "%s.new", path);
    snprintf(victim, sizeof(victim), "%s.victim", path);
    assert_int_equal(symlink(victim, temp), 0);
    assert_int_equal(whole_file_write(path, SLICE("x")), -ELOOP);
    assert_int_equal(access(victim, F_OK), -1);
    unlink(temp);
}

static void test_what_is_no_file_or_too_large_is_not_read(void **state)
{
    char *text;
    size_t n;
    (void)state;
    assert_int_equal(whole_file_read(path, 100, &text, &n), -ENOENT);
    assert_int_equal(whole_file_read(folder, 100, &text, &n), -EINVAL);
    assert_int_equal(whole_file_write(path, SLICE("123456")), 0);
    assert_int_equal(whole_file_read(path, 5, &text, &n), -EFBIG);
}

static void test_a_bad_one_is_set_aside(void **state)
{
    char *text, aside[128];
    size_t n;
    (void)state;
    assert_int_equal(whole_file_write(path, SLICE("bad")), 0);
    assert_int_equal(whole_file_set_aside(path), 0);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(aside, sizeof(aside), "%s.bad", path);
    assert_int_equal(whole_file_read(aside, 5, &text, &n), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_written_is_read, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_the_old_file_stays_where_the_new_one_cannot_be_made,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_a_link_planted_for_the_new_file_is_not_followed,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_what_is_no_file_or_too_large_is_not_read, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(test_a_bad_one_is_set_aside, make_folder, remove_folder),
    };
    return cmocka_run_group_tests_name("whole_file", tests, NULL, NULL);
}
