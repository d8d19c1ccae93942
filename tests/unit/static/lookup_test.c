/* From paths to files.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "static/lookup.h"
#include "tree.h"

static struct loop loop;
static struct file_cache cache;
static struct arena arena;
static const struct file_cache_conf cache_conf = {.files = 16, .valid_ms = 1000};
static struct slice index_names[] = {SLICE_INIT("index.php"), SLICE_INIT("index.html")};

struct row {
    const char *path;
    enum found found;
    const char *name; /* beneath the root */
};

/* clang-format off */
static const struct row rows[] = {
    {"/a.txt", FOUND_FILE, "a.txt"}, {"/dir/b.css", FOUND_FILE, "dir/b.css"},
    {"/dir/", FOUND_FILE, "dir/index.html"}, {"/dir", FOUND_DIRECTORY, NULL},
    {"/", FOUND_NOTHING, NULL}, {"/sub/", FOUND_NOTHING, NULL}, {"/sub", FOUND_DIRECTORY, NULL},
    {"/in", FOUND_FILE, "in"}, {"/out", FOUND_NOTHING, NULL}, {"/up/secret", FOUND_NOTHING, NULL},
    {"/.hidden", FOUND_NOTHING, NULL}, {"/dir/.x", FOUND_NOTHING, NULL},
    {"/.well-known/x", FOUND_NOTHING, NULL}, {"/fifo", FOUND_NOTHING, NULL},
    {"/a.txt/", FOUND_NOTHING, NULL}, {"/nothing", FOUND_NOTHING, NULL},
    {"/pre/a.txt", FOUND_FILE, "a.txt"}, {"/pre/dir/", FOUND_FILE, "dir/index.html"},
    {"/pre", FOUND_DIRECTORY, NULL}, {"/prefix", FOUND_NOTHING, NULL},
};
/* clang-format on */

static struct lookup lookup_of(const struct files_conf *conf)
{
    return (struct lookup){
        .conf = conf, .cache = &cache, .cache_conf = &cache_conf, .arena = &arena};
}

static struct files_conf conf_of_tree(void)
{
    return (struct files_conf){.root = slice_str(tree_root),
                               .index = index_names,
                               .index_count = 2,
                               .strip = SLICE("/pre")};
}

static void test_what_a_path_means(void **state)
{
    (void)state;
    const struct files_conf conf = conf_of_tree();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lookup l = lookup_of(&conf);
        enum found found = lookup_path(&l, slice_str(rows[i].path));
        if (found != rows[i].found)
            fail_msg("%s: %d", rows[i].path, found);
        if (found == FOUND_FILE)
            assert_true(slice_eq(l.name, slice_str(rows[i].name)));
        if (found == FOUND_NOTHING)
            assert_true(l.status == 404 && l.why);
        else
            file_unref(l.file);
    }
}

static void test_a_directory_without_an_index_may_be_listed(void **state)
{
    (void)state;
    struct files_conf conf = conf_of_tree();
    conf.listing = true;
    struct lookup l = lookup_of(&conf);
    assert_int_equal(lookup_path(&l, SLICE("/sub/")), FOUND_LIST);
    file_unref(l.file);
    assert_int_equal(lookup_path(&l, SLICE("/")), FOUND_LIST);
    file_unref(l.file);
    assert_int_equal(lookup_path(&l, SLICE("/dir/")), FOUND_FILE);
    assert_true(l.is_index && slice_eq(l.path, SLICE("/dir/index.html")));
    file_unref(l.file);
}

static void test_a_sibling_is_found(void **state)
{
    (void)state;
    const struct files_conf conf = conf_of_tree();
    struct lookup l = lookup_of(&conf);
    assert_int_equal(lookup_path(&l, SLICE("/a.txt")), FOUND_FILE);
    struct file *sibling = lookup_sibling(&l, SLICE(".gz"));
    assert_non_null(sibling);
    assert_int_equal(sibling->info.size, 6);
    file_unref(sibling);
    assert_null(lookup_sibling(&l, SLICE(".br")));
    file_unref(l.file);
}

static void test_types_go_by_the_last_extension(void **state)
{
    static const struct {
        const char *path, *type;
    } cases[] = {
        {"/a.txt", "text/plain; charset=utf-8"},
        {"/A.HTML", "text/html; charset=utf-8"},
        {"/x.tar.gz", "application/gzip"},
        {"/x.own", "text/x-own; charset=utf-8"},
        {"/x.png", "image/own"},
        {"/x", "application/x-other"},
        {"/x.", "application/x-other"},
        {"/.txt", "application/x-other"},
        {"/a.txt/x", "application/x-other"},
        {"/x.thisisnoextension", "application/x-other"},
        {"", "application/x-other"},
        {"/x.wasm", "application/wasm"},
    };
    static const struct type own[] = {{SLICE_INIT("own"), SLICE_INIT("text/x-own")},
                                      {SLICE_INIT("png"), SLICE_INIT("image/own")}};
    struct types types = {.otherwise = SLICE("application/x-other")};
    (void)state;
    types_build(&types, own, 2, SLICE("utf-8"), &arena);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!slice_eq(types_find(&types, slice_str(cases[i].path)), slice_str(cases[i].type)))
            fail_msg("%s", cases[i].path);
    for (uint32_t i = 1; i < types.n; i++)
        assert_true(types.v[i - 1].extension.n > 0);
}

static int set_up(void **state)
{
    int error = loop_init(&loop);
    file_cache_init(&cache, &loop);
    arena_init(&arena, &loop.bufs);
    return error ? error : tree_make(state);
}

static int tear_down(void **state)
{
    arena_fini(&arena);
    file_cache_fini(&cache);
    loop_fini(&loop);
    return tree_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_path_means),
        cmocka_unit_test(test_a_directory_without_an_index_may_be_listed),
        cmocka_unit_test(test_a_sibling_is_found),
        cmocka_unit_test(test_types_go_by_the_last_extension),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
