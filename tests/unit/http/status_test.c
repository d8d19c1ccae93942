/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"
#include "http/status.h"

static void test_statuses_have_their_registered_phrases(void **state)
{
    (void)state;
    assert_string_equal(status_reason(200), "OK");
    assert_string_equal(status_reason(404), "Not Found");
    assert_string_equal(status_reason(431), "Request Header Fields Too Large");
    assert_string_equal(status_reason(299), "");
    assert_string_equal(status_reason(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses_have_their_registered_phrases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
