/* Opening beneath a directory, and keeping what was opened.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "net/file_cache.h"
#include "tree.h"

enum { ON = FILE_LINKS_ON, OWNER = FILE_LINKS_OWNER, OFF = FILE_LINKS_OFF };

static const struct {
    const char *path;
    int with[3]; /* ON, OWNER, OFF: 0 or errno */
} paths[] = {
    {"a.txt", {0, 0, 0}},
    {"dir/b.css", {0, 0, 0}},
    {"dir", {0, 0, 0}},
    {"dir/", {0, 0, 0}},
    {".", {0, 0, 0}},
    {"in", {0, 0, ELOOP}},
    {"dirin/b.css", {0, 0, ELOOP}},
    {"out", {EXDEV, EXDEV, ELOOP}},
    {"up/secret", {EXDEV, EXDEV, ELOOP}},
    {"up/root/a.txt", {EXDEV, EXDEV, ELOOP}},
    {"proc/etc/passwd", {EXDEV, EXDEV, ELOOP}},
    {"../secret", {EXDEV, EXDEV, EXDEV}},
    {"dir/../../secret", {EXDEV, EXDEV, EXDEV}},
    {"/etc/passwd", {EXDEV, EXDEV, EXDEV}},
    {"a.txt/", {ENOTDIR, ENOTDIR, ENOTDIR}},
    {"a.txt/x", {ENOTDIR, ENOTDIR, ENOTDIR}},
    {"nothing", {ENOENT, ENOENT, ENOENT}},
    {"fifo", {ENXIO, ENXIO, ENXIO}},
};

static void test_nothing_is_opened_outside(void **state)
{
    (void)state;
    int root = file_open_dir(tree_root);
    assert_true(root >= 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (int links = ON; links <= OFF; links++) {
            struct file_info info;
            int fd = file_open(root, paths[i].path, (enum file_links)links, &info);
            if ((fd >= 0 ? 0 : -fd) != paths[i].with[links])
                fail_msg("%s with %d: %d", paths[i].path, links, fd);
            if (fd >= 0)
                close(fd);
        }
    close(root);
}

static void test_a_name_is_removed_only_while_it_names_the_file(void **state)
{
    struct file_info info;
    (void)state;
    int root = file_open_dir(tree_root);
    tree_put("dir/temp", "1");
    int fd = file_open(root, "dir/temp", FILE_LINKS_ON, &info);
    assert_true(fd >= 0);
    info.inode++;
    assert_int_equal(file_unlink(root, "dir/temp", &info), -ESTALE);
    info.inode--;
    assert_int_equal(file_unlink(root, "dir/temp", &info), 0);
    assert_int_equal(file_unlink(root, "dir/temp", &info), -ENOENT);
    assert_int_equal(file_unlink(root, "../secret", &info), -EXDEV);
    close(fd);
    close(root);
}

/* ---- the cache ---- */

static struct loop loop;
static struct file_cache cache;
static const struct file_cache_conf conf = {.files = 4, .valid_ms = 1000, .memory_bytes = 1 << 20};

static int open_loop(void **state)
{
    (void)state;
    int error = loop_init(&loop);
    file_cache_init(&cache, &loop);
    return error;
}

static int close_loop(void **state)
{
    (void)state;
    file_cache_fini(&cache);
    loop_fini(&loop);
    return 0;
}

static struct file *must_open(const char *path)
{
    struct file *f;
    const struct file_query q = {slice_str(tree_root), slice_str(path), FILE_LINKS_ON, false};
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), 0);
    return f;
}

static void test_what_is_open_is_used_again_until_its_time_is_over(void **state)
{
    (void)state;
    struct file *one = must_open("a.txt"), *two = must_open("a.txt");
    assert_ptr_equal(one, two);
    file_unref(two);
    loop.now_ms += conf.valid_ms;
    two = must_open("a.txt");
    assert_ptr_not_equal(one, two);
    file_unref(one);
    file_unref(two);
}

static void test_the_oldest_goes_when_there_are_too_many(void **state)
{
    (void)state;
    struct file *one = must_open("a.txt");
    file_unref(must_open("dir/b.css"));
    file_unref(must_open("in"));
    file_unref(must_open("dir/index.html")); /* in place of the root, which is oldest */
    file_unref(must_open("dir"));
    struct file *two = must_open("a.txt");
    assert_ptr_not_equal(one, two);
    assert_true(cache.map.count <= conf.files);
    file_unref(one);
    file_unref(two);
}

static void test_it_is_kept_that_there_is_none_where_that_is_asked_for(void **state)
{
    struct file *f;
    struct file_query q = {slice_str(tree_root), SLICE("late"), FILE_LINKS_ON, true};
    (void)state;
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), -ENOENT);
    tree_put("late", "x");
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), -ENOENT);
    loop.now_ms += conf.valid_ms;
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), 0);
    file_unref(f);
    q.path = SLICE("later");
    q.keeps_missing = false;
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), -ENOENT);
    tree_put("later", "x");
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), 0);
    file_unref(f);
}

static void test_small_files_are_read_once(void **state)
{
    (void)state;
    struct file *f = must_open("a.txt");
    struct buf *one = file_content(f, &conf), *two = file_content(f, &conf);
    assert_ptr_equal(one, two);
    assert_memory_equal(one->data, "hello", 5);
    assert_int_equal(buf_room(one), 0);
    buf_unref(one);
    buf_unref(two);
    file_unref(f);
}

static void test_why_a_root_cannot_be_opened_is_known(void **state)
{
    struct file *f;
    (void)state;
    const struct file_query q = {SLICE("/nothing/there"), SLICE("a"), FILE_LINKS_ON, false};
    assert_int_equal(file_cache_open(&cache, &conf, &q, &f), -ENOENT);
    assert_int_equal(cache.root_error, -ENOENT);
    const struct file_query nul = {slice_str(tree_root), SLICE("a\0b"), FILE_LINKS_ON, false};
    assert_int_equal(file_cache_open(&cache, &conf, &nul, &f), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_opened_outside),
        cmocka_unit_test(test_a_name_is_removed_only_while_it_names_the_file),
        cmocka_unit_test_setup_teardown(test_what_is_open_is_used_again_until_its_time_is_over,
                                        open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_the_oldest_goes_when_there_are_too_many, open_loop,
                                        close_loop),
        cmocka_unit_test_setup_teardown(test_it_is_kept_that_there_is_none_where_that_is_asked_for,
                                        open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_small_files_are_read_once, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_why_a_root_cannot_be_opened_is_known, open_loop,
                                        close_loop),
    };
    return cmocka_run_group_tests(tests, tree_make, tree_remove);
}
