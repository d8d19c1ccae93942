/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/credentials.h"

struct row {
    const char *value;
    const char *user, *password; /* NULL: refused */
};

/* clang-format off */
static const struct row rows[] = {
    {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"}, /* RFC 7617 2 */
    {"Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},                  /* RFC 7617 2.1 */
    {"basic YTpi", "a", "b"},
    {"BASIC YTpi", "a", "b"},
    {"Basic   YTpi", "a", "b"},
    {"Basic Og==", "", ""},
    {"Basic YTo=", "a", ""},
    {"Basic OmI=", "", "b"},
    {"Basic YTpiOmM=", "a", "b:c"},
    {"Basic YTo/Pz8+Pj4=", "a", "?\?\?>>>"},
    {"Basic YWI6Y2RlZg==", "ab", "cdef"},
    {"", NULL, NULL},
    {"Basic", NULL, NULL},
    {"Basic ", NULL, NULL},
    {"BasicYTpi", NULL, NULL},
    {"Basic\tYTpi", NULL, NULL},
    {" Basic YTpi", NULL, NULL},
    {"Bearer YTpi", NULL, NULL},
    {"Basic YQ==", NULL, NULL},          /* no colon */
    {"Basic YTpiYw", NULL, NULL},        /* no padding */
    {"Basic YTpi=", NULL, NULL},
    {"Basic YTpiYg=", NULL, NULL},
    {"Basic YTpi====", NULL, NULL},
    {"Basic =", NULL, NULL},
    {"Basic Y=pi", NULL, NULL},
    {"Basic YT==YTpi", NULL, NULL},
    {"Basic YTo_", NULL, NULL},          /* base64url */
    {"Basic a:b", NULL, NULL},
    {"Basic YTpi YTpi", NULL, NULL},
    {"Basic YTpi, Basic YTpi", NULL, NULL},
    {"Basic YTpi ", NULL, NULL},
    {"Basic YToA", NULL, NULL},          /* NUL */
    {"Basic YQA6Yg==", NULL, NULL},
    {"Basic YToK", NULL, NULL},          /* LF */
    {"Basic YTp/", NULL, NULL},          /* DEL */
};
/* clang-format on */

static void test_credentials_of_the_basic_scheme(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = strlen(rows[i].value);
        char *exact = malloc(n ? n : 1), *room = malloc(n ? n : 1);
        struct slice user, password;
        memcpy(exact, rows[i].value, n);
        bool ok = credentials_basic(slice_of(exact, n), room, &user, &password);
        if (ok != (rows[i].user != NULL))
            print_error("%s\n", rows[i].value);
        assert_int_equal(ok, rows[i].user != NULL);
        if (ok) {
            assert_true(slice_eq(user, slice_str(rows[i].user)));
            assert_true(slice_eq(password, slice_str(rows[i].password)));
        }
        free(exact);
        free(room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_credentials_of_the_basic_scheme)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
