/* CGI variables: which there are, what they hold, and which requests have none.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "codec/cgi_env.h"

/* All variables as "NAME=value\n", in the order written. */
static char *written(struct test_request *request, char *space, size_t size)
{
    struct cgi_env env;
    cgi_env_init(&env, CGI_ENVIRON, &request->codec);
    assert_true(cgi_env_bound(&env) <= size);
    char *end = cgi_env_put(&env, space);
    assert_true((size_t)(end - space) < cgi_env_bound(&env));
    for (char *p = space; p < end; p++)
        if (*p == '\0')
            *p = '\n';
    *end = '\0';
    return space;
}

static void assert_has(const char *all, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = all; *p; p = strchr(p, '\n') + 1)
        if (strncmp(p, line, n) == 0 && p[n] == '\n')
            return;
    fail_msg("a variable is missing or different");
}

static void assert_lacks(const char *all, const char *name)
{
    assert_null(strstr(all, name));
}

static void test_everything_known(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    request_init(&r, METHOD_POST);
    r.head.minor = 0;
    r.codec.framing = (struct framing){BODY_LENGTH, 1234567890123};
    r.codec.target = SLICE("/a.php/b%20c?d=e?f");
    r.cgi = (struct cgi_info){
        .path = SLICE("/a.php/b c"),
        .script_name = SLICE("/a.php"),
        .path_info = SLICE("/b c"),
        .document_root = SLICE("/srv/www"),
        .server_name = SLICE("example.org"),
        .server_addr = SLICE("10.0.0.1"),
        .client_addr = SLICE("::1"),
        .server_port = 443,
        .client_port = 65535,
        .https = true,
        .auth_type = SLICE("Basic"),
        .auth_user = SLICE("me"),
    };
    request_add(&r, "content-type", "a/b");
    request_add(&r, "Content-Length", "1234567890123");
    request_add(&r, "Authorization", "Basic eA==");
    static const char *const want[] = {
        "CONTENT_LENGTH=1234567890123",
        "CONTENT_TYPE=a/b",
        "GATEWAY_INTERFACE=CGI/1.1",
        ("SERVER_SOFTWARE=sluice/" SLUICE_VERSION),
        "SERVER_PROTOCOL=HTTP/1.0",
        "SERVER_NAME=example.org",
        "SERVER_ADDR=10.0.0.1",
        "SERVER_PORT=443",
        "REMOTE_ADDR=::1",
        "REMOTE_PORT=65535",
        "REMOTE_USER=me",
        "AUTH_TYPE=Basic",
        "REQUEST_METHOD=POST",
        "REQUEST_URI=/a.php/b%20c?d=e?f",
        "QUERY_STRING=d=e?f",
        "REQUEST_SCHEME=https",
        "HTTPS=on",
        "SCRIPT_NAME=/a.php",
        "PATH_INFO=/b c",
        "PATH_TRANSLATED=/srv/www/b c",
        "SCRIPT_FILENAME=/srv/www/a.php",
        "DOCUMENT_ROOT=/srv/www",
        "DOCUMENT_URI=/a.php/b c",
        "REDIRECT_STATUS=200",
        "HTTP_HOST=h",
        "HTTP_AUTHORIZATION=Basic eA==",
    };
    const char *all = written(&r, space, sizeof(space));
    size_t lines = 0;
    for (const char *p = all; *p; p++)
        lines += *p == '\n';
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_has(all, want[i]);
    assert_int_equal(lines, sizeof(want) / sizeof(want[0]));
}

static void test_what_is_not_known_is_left_out(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    request_init(&r, METHOD_GET);
    r.codec.target = SLICE("*");
    r.codec.host = SLICE_NONE;
    r.cgi = (struct cgi_info){0};
    const char *all = written(&r, space, sizeof(space));
    assert_has(all, "QUERY_STRING=");
    assert_has(all, "SCRIPT_NAME=");
    static const char *const unknown[] = {
        "CONTENT_LENGTH",  "CONTENT_TYPE",    "HTTPS",         "HTTP_",       "PATH_INFO",
        "PATH_TRANSLATED", "SCRIPT_FILENAME", "DOCUMENT_ROOT", "SERVER_PORT", "REMOTE_"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_lacks(all, unknown[i]);
}

static void test_a_body_of_nothing_has_a_length(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    request_init(&r, METHOD_POST);
    r.codec.framing = (struct framing){BODY_LENGTH, 0};
    assert_has(written(&r, space, sizeof(space)), "CONTENT_LENGTH=0");
}

/* CVE-2016-5385 and its kin. */
static void test_proxy_never_becomes_http_proxy(void **state)
{
    (void)state;
    static const char *const names[] = {"Proxy", "proxy", "PROXY", "pRoXy"};
    for (size_t i = 0; i < 4; i++) {
        char space[4096];
        struct test_request r;
        request_init(&r, METHOD_GET);
        request_add(&r, names[i], "http://evil/");
        request_add(&r, "X-Proxy", "fine");
        const char *all = written(&r, space, sizeof(space));
        assert_lacks(all, "HTTP_PROXY");
        assert_lacks(all, "evil");
        assert_has(all, "HTTP_X_PROXY=fine");
    }
}

static void test_names_that_have_no_variable(void **state)
{
    (void)state;
    static const char *const names[] = {
        "X_Y",          "X.Y", "X!", "X'Y", "X~", "_",  "X|Y", "X^Y", "X#Y", "Content_Length",
        "Content_Type", "X`Y", "X$", "X%",  "X&", "X*", "X+Y"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char space[4096];
        struct test_request r;
        request_init(&r, METHOD_GET);
        request_add(&r, names[i], "unseen");
        request_add(&r, "X-Z", "seen");
        const char *all = written(&r, space, sizeof(space));
        assert_lacks(all, "unseen");
        assert_has(all, "HTTP_X_Z=seen");
    }
}

static void test_repeated_fields_are_joined(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    request_init(&r, METHOD_GET);
    request_add(&r, "X-A", "1");
    request_add(&r, "Cookie", "a=1");
    request_add(&r, "X-B", "");
    request_add(&r, "x-a", "2");
    request_add(&r, "cookie", "b=2");
    request_add(&r, "X-C", "c");
    request_add(&r, "Accept", "a/a");
    request_add(&r, "X-B", "");
    request_add(&r, "X-A", "gone");
    r.fields[8].dropped = true;
    request_add(&r, "X-A", "3");
    request_add(&r, "Accept", "b/b");
    const char *all = written(&r, space, sizeof(space));
    assert_has(all, "HTTP_X_A=1, 2, 3");
    assert_has(all, "HTTP_COOKIE=a=1; b=2");
    assert_has(all, "HTTP_X_B=, ");
    assert_has(all, "HTTP_X_C=c");
    assert_has(all, "HTTP_ACCEPT=a/a, b/b");
    assert_ptr_equal(strstr(strstr(all, "HTTP_X_A") + 1, "HTTP_X_A"), NULL);
}

static void test_a_dropped_line_does_not_hide_a_later_one(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    request_init(&r, METHOD_GET);
    request_add(&r, "X-A", "gone");
    r.fields[0].dropped = true;
    request_add(&r, "X-A", "kept");
    assert_has(written(&r, space, sizeof(space)), "HTTP_X_A=kept");
}

/* Against a model: names and values at random, few enough that many repeat. */
static void test_joining_against_a_model(void **state)
{
    (void)state;
    static const char *const names[] = {"a",   "b",   "A",      "ab",  "ba",
                                        "aab", "X-A", "Cookie", "x-a", "B"};
    static const char *const kept[] = {"a", "b", "ab", "ba", "aab", "X-A", "Cookie"};
    static const char *const variables[] = {"HTTP_A",   "HTTP_B",   "HTTP_AB",    "HTTP_BA",
                                            "HTTP_AAB", "HTTP_X_A", "HTTP_COOKIE"};
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        char space[4096], model[7][256] = {""};
        bool has[7] = {false};
        struct test_request r;
        request_init(&r, METHOD_GET);
        unsigned count = (seed = seed * 1103515245 + 12345) >> 16 & 15;
        for (unsigned i = 0; i < count; i++) {
            const char *name = names[((seed = seed * 1103515245 + 12345) >> 16) % 10];
            const char *value = i & 1 ? "v" : "";
            request_add(&r, name, value);
            for (int k = 0; k < 7; k++)
                if (strcasecmp(name, kept[k]) == 0) {
                    strcat(strcat(model[k], has[k] ? k == 6 ? "; " : ", " : ""), value);
                    has[k] = true;
                }
        }
        const char *all = written(&r, space, sizeof(space));
        for (int k = 0; k < 7; k++) {
            char line[300];
            snprintf(line, sizeof(line), "%s=%s", variables[k], model[k]);
            if (has[k])
                assert_has(all, line);
        }
    }
}

static void test_parameters_stand_in_for_ours(void **state)
{
    (void)state;
    char space[4096];
    struct test_request r;
    const struct cgi_param params[] = {{SLICE("SERVER_NAME"), SLICE("other")},
                                       {SLICE("HTTP_X_A"), SLICE("forced")},
                                       {SLICE("EMPTY"), SLICE("")},
                                       {SLICE("CONTENT_LENGTH"), SLICE("99")},
                                       {SLICE("SCGI"), SLICE("2")}};
    request_init(&r, METHOD_POST);
    r.codec.framing = (struct framing){BODY_LENGTH, 5};
    r.cgi.server_name = SLICE("ours");
    r.cgi.params = params;
    r.cgi.param_count = 5;
    request_add(&r, "X-A", "theirs");
    const char *all = written(&r, space, sizeof(space));
    assert_has(all, "SERVER_NAME=other");
    assert_has(all, "HTTP_X_A=forced");
    assert_has(all, "EMPTY=");
    assert_has(all, "CONTENT_LENGTH=5");
    assert_lacks(all, "ours");
    assert_lacks(all, "theirs");
    assert_lacks(all, "99");
    assert_lacks(all, "SCGI");
}

static void test_clashes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        enum parse verdict;
    } pairs[] = {
        {"X-Y", "X_Y", PARSE_BAD},
        {"x_y", "X-Y", PARSE_BAD},
        {"X-Y_Z", "X-Y-Z", PARSE_BAD},
        {"Content_Length", "Content-Length", PARSE_BAD},
        {"X_Forwarded_For", "X-Forwarded-For", PARSE_BAD},
        {"X-Y", "X-Y", PARSE_DONE},
        {"X_Y", "x_y", PARSE_DONE},
        {"X_Y", "X-Z", PARSE_DONE},
        {"X_Y", "X-YZ", PARSE_DONE},
        {"X_Y", "X.Y", PARSE_DONE},
        {"X_Y_Z", "X-Y_Z", PARSE_DONE}, /* neither has a variable */
        {"_", "-", PARSE_BAD},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct test_request r;
        struct fault f;
        request_init(&r, METHOD_GET);
        request_add(&r, pairs[i].a, "1");
        request_add(&r, "Accept", "x");
        request_add(&r, pairs[i].b, "2");
        if (cgi_env_check(&r.head.fields, &f) != pairs[i].verdict)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
        assert_true(pairs[i].verdict == PARSE_DONE || f.status == 400);
        r.fields[2].dropped = true;
        assert_int_equal(cgi_env_check(&r.head.fields, &f), PARSE_DONE);
    }
}

static void test_paths_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *path, *script, *info; /* script NULL: no split */
    } paths[] = {
        {"/a.php", "/a.php", ""},     {"/a.php/", "/a.php", "/"},
        {"/a.php/b", "/a.php", "/b"}, {"/d/a.php/b.php/c", "/d/a.php", "/b.php/c"},
        {"/a.phpx/b", NULL, NULL},    {"/a.PHP", NULL, NULL},
        {"/.php", NULL, NULL},        {"/a/.php/b", NULL, NULL},
        {"/php", NULL, NULL},         {"/", NULL, NULL},
        {"/a/", NULL, NULL},          {"*", NULL, NULL},
        {"//a.php", "//a.php", ""},   {"/a.php.php", "/a.php.php", ""},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct cgi_info info = {0};
        bool split = cgi_split_path(&info, slice_str(paths[i].path), SLICE(".php"));
        if (split != (paths[i].script != NULL))
            fail_msg("%s", paths[i].path);
        if (split) {
            assert_true(slice_eq(info.script_name, slice_str(paths[i].script)));
            assert_true(slice_eq(info.path_info, slice_str(paths[i].info)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_known),
        cmocka_unit_test(test_what_is_not_known_is_left_out),
        cmocka_unit_test(test_a_body_of_nothing_has_a_length),
        cmocka_unit_test(test_proxy_never_becomes_http_proxy),
        cmocka_unit_test(test_names_that_have_no_variable),
        cmocka_unit_test(test_repeated_fields_are_joined),
        cmocka_unit_test(test_a_dropped_line_does_not_hide_a_later_one),
        cmocka_unit_test(test_joining_against_a_model),
        cmocka_unit_test(test_parameters_stand_in_for_ours),
        cmocka_unit_test(test_clashes_are_refused),
        cmocka_unit_test(test_paths_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
