/* Every example loads without an error or a warning.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>

#include "core/snapshot.h"
#include "net/conf_file.h"

static const struct config_loader loader = {
    .read = conf_file_read, .glob = conf_file_glob, .env = conf_file_env};

static void test_every_example_loads(void **state)
{
    (void)state;
    glob_t found = {0};
    assert_int_equal(glob(EXAMPLES "/*.conf", 0, NULL, &found) != GLOB_ABORTED, 1);
    assert_int_equal(glob(EXAMPLES "/*/*.conf", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct config_diag diag;
        config_diag_init(&diag);
        struct snapshot *s = snapshot_load(slice_str(found.gl_pathv[i]), &loader, &diag);
        assert_string_equal(config_diag_print(&diag, &diag.arena).p, "");
        assert_non_null(s);
        snapshot_unref(s);
        config_diag_fini(&diag);
    }
    assert_true(found.gl_pathc > 0);
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_example_loads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
