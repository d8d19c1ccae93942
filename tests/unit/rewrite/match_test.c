/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "config/ast.h"
#include "config/diag.h"
#include "memory.h"
#include "rewrite/match.h"

#include "../config/memory_loader.h"

/* clang-format off */
static const struct key options[] = {
#define COND(id, name, syntax, help, miss)        MATCH_OPTION(name, syntax, help)
#define ANSWER_COND(id, name, syntax, help, miss) MATCH_OPTION(name, syntax, help)
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
    {.name = NULL},
};
static const struct key keys[] = {{.name = "if", .type = KEY_NONE, .options = options}, {.name = NULL}};
/* clang-format on */

static const struct {
    const char *text; /* the conditions */
    enum regex_result result;
} cases[] = {
    {"", REGEX_YES},
    {"method=GET", REGEX_YES},
    {"method=HEAD,GET", REGEX_YES},
    {"method=HEAD method=GET", REGEX_YES},
    {"method=!GET", REGEX_NO},
    {"method=!HEAD,POST", REGEX_YES},
    {"method=get", REGEX_GAVE_UP}, /* here: refused at loading */
    {"host=example.org", REGEX_YES},
    {"host=*.org", REGEX_YES},
    {"host=*.example.org", REGEX_NO},
    {"host=~^EXA", REGEX_NO},
    {"host=~^exa.*g$,x", REGEX_NO},
    {"host=~^exa.*g$", REGEX_YES},
    {"host=!~^exa", REGEX_NO},
    {"host=~(", REGEX_GAVE_UP},
    {"client=10.0.0.0/8", REGEX_YES},
    {"client=::1,10.1.0.0/16", REGEX_YES},
    {"client=!10.0.0.0/8", REGEX_NO},
    {"client=ten", REGEX_GAVE_UP},
    {"scheme=https", REGEX_YES},
    {"scheme=http", REGEX_NO},
    {"scheme=!http", REGEX_YES},
    {"header=X-A", REGEX_YES},
    {"header=x-a:1", REGEX_YES},
    {"header=x-a:2", REGEX_YES},
    {"header=x-a:3", REGEX_NO},
    {"header=X-A:~^[12]$", REGEX_YES},
    {"header=X-B", REGEX_NO},
    {"header=!X-B", REGEX_YES},
    {"header=X-A header=X-B", REGEX_NO},
    {"header=X-Gone", REGEX_NO},
    {"header=:1", REGEX_GAVE_UP},
    {"cookie=s", REGEX_YES},
    {"cookie=s:one", REGEX_YES},
    {"cookie=s:~^o", REGEX_YES},
    {"cookie=t", REGEX_NO},
    {"query=a", REGEX_YES},
    {"query=a:1", REGEX_YES},
    {"query=a:3", REGEX_YES},
    {"query=a:2", REGEX_NO},
    {"query=b b:c/d", REGEX_GAVE_UP}, /* a word of its own, which is no option */
    {"\"query=x\"", REGEX_GAVE_UP},
    {"query=b:c/d", REGEX_YES},
    {"query=b:~^c/d$", REGEX_YES},
    {"query=!c", REGEX_YES},
    {"query=!a", REGEX_NO},
    {"status=404", REGEX_YES},
    {"status=4xx", REGEX_YES},
    {"status=200,5xx", REGEX_NO},
    {"status=!5xx", REGEX_YES},
    {"status=6xx", REGEX_GAVE_UP},
    {"status=20", REGEX_GAVE_UP},
    {"header=X-Long:~^(a|aa|aaa)+$", REGEX_GAVE_UP}, /* at matching */
    {"header=!X-Long:~^(a|aa|aaa)+$", REGEX_GAVE_UP},
};

static enum regex_result result_of(const char *text, const struct facts *f)
{
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct config_diag diag;
    struct regex *list = NULL;
    struct match m = {0};
    struct directive *first;
    struct config_reader r = {.arena = a, .diag = &diag, .regexes = &list};
    const struct cond *missed;
    config_diag_init(&diag);
    struct slice line = arena_printf(a, "if %s\n", text);
    enum regex_result result = REGEX_GAVE_UP;
    if (config_parse_text(SLICE("t"), line, &memory_loader, a, &diag, &first) &&
        config_apply(&r, keys, first, "t", (struct config_place){0}, &m))
        result = match_facts(&m, f, &missed);
    regex_free_all(list);
    config_diag_fini(&diag);
    memory_fini(&memory);
    return result;
}

static void test_conditions_hold_or_not(void **state)
{
    (void)state;
    struct memory memory;
    struct arena *a = memory_init(&memory);
    struct sockaddr_in client = {.sin_family = AF_INET, .sin_addr = {htonl(0x0a010203)}};
    struct fields fs = {0};
    fields_add(&fs, a, FIELD_OTHER, SLICE("X-A"), SLICE("1"));
    fields_add(&fs, a, FIELD_OTHER, SLICE("x-A"), SLICE("2"));
    fields_add(&fs, a, FIELD_OTHER, SLICE("X-Gone"), SLICE("2"))->dropped = true;
    fields_add(&fs, a, FIELD_OTHER, SLICE("X-Long"),
               SLICE("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"));
    fields_add(&fs, a, FIELD_COOKIE, SLICE("Cookie"), SLICE("r=2; s=one"));
    const struct facts f = {
        .host = SLICE("example.org"),
        .path = SLICE("/"),
        .query = SLICE("a=1&%61=%33&b=c%2Fd"),
        .method = SLICE("GET"),
        .scheme = SLICE("https"),
        .fields = &fs,
        .client = (struct sockaddr *)&client,
        .status = 404,
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (result_of(cases[i].text, &f) != cases[i].result)
            fail_msg("%s", cases[i].text);
    memory_fini(&memory);
    regex_end_thread();
}

static void test_nothing_known_meets_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"method=GET", "host=a",   "client=::/0", "scheme=http",
                                        "header=X",   "cookie=a", "query=a",     "status=200"};
    const struct facts f = {0};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(result_of(texts[i], &f), REGEX_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions_hold_or_not),
        cmocka_unit_test(test_nothing_known_meets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
