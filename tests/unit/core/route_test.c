/* Sites by host, routes by what the request has.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../config/memory_loader.h"
#include "core/snapshot.h"

static struct snapshot *load(const char *text)
{
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = snapshot_load_text(SLICE("t"), slice_str(text), &memory_loader, &diag);
    if (!s)
        print_message("%s\n", config_diag_print(&diag, &diag.arena).p);
    assert_non_null(s);
    config_diag_fini(&diag);
    return s;
}

#define POOLS "listen 80\npool a { backend b:1 }\n"

static const char *site_of(const struct snapshot *s, const char *host)
{
    const struct site_conf *site = route_find_site(s, slice_str(host));
    return site ? site->names[0].text.p : "-";
}

static void test_the_nearest_name_of_a_host_wins(void **state)
{
    (void)state;
    struct snapshot *s = load(POOLS "site *.Example.org { proxy a }\n"
                                    "site example.org. example.net { proxy a }\n"
                                    "site *.deep.example.org { proxy a }\n"
                                    "site www.example.org { proxy a }\n"
                                    "site [::1] 127.0.0.1 { proxy a }\n");
    static const struct {
        const char *host, *site;
    } cases[] = {
        {"example.org", "example.org"},
        {"EXAMPLE.org", "example.org"},
        {"example.org.", "example.org"},
        {"example.net", "example.org"},
        {"www.example.org", "www.example.org"},
        {"WWW.EXAMPLE.ORG", "www.example.org"},
        {"x.example.org", "*.example.org"},
        {"x.y.example.org", "*.example.org"},
        {"x.deep.example.org", "*.deep.example.org"},
        {"x.y.deep.example.org", "*.deep.example.org"},
        {"deep.example.org", "*.example.org"},
        {"x.www.example.org", "*.example.org"},
        {"xexample.org", "-"},
        {"example.com", "-"},
        {"org", "-"},
        {"", "-"},
        {".", "-"},
        {"..", "-"},
        {"::1", "::1"},
        {"127.0.0.1", "::1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(site_of(s, cases[i].host), cases[i].site);
    snapshot_unref(s);
}

static void test_the_default_site_takes_the_rest(void **state)
{
    (void)state;
    struct snapshot *s = load(POOLS "site { proxy a }\nsite x { proxy a }\n");
    assert_string_equal(site_of(s, "x"), "x");
    assert_string_equal(site_of(s, "y"), "*");
    assert_string_equal(site_of(s, ""), "*");
    snapshot_unref(s);
}

static void test_many_names_are_all_found(void **state)
{
    (void)state;
    char text[60000] = POOLS "site";
    for (int i = 0; i < 3000; i++)
        sprintf(text + strlen(text), " h%d.x", i);
    strcat(text, " { proxy a }\n");
    struct snapshot *s = load(text);
    for (int i = 0; i < 3000; i++) {
        char host[20];
        sprintf(host, "h%d.x", i);
        assert_string_equal(site_of(s, host), "h0.x");
    }
    assert_string_equal(site_of(s, "h3000.x"), "-");
    snapshot_unref(s);
}

static const char routes[] = POOLS "site {\n"
                                   "route /exact { proxy a }\n"
                                   "route /prefix/* { proxy a }\n"
                                   "route /img* *.png { proxy a }\n"
                                   "route ~ ^/\\d{4}/[a-z]+$ { proxy a }\n"
                                   "route /m method=GET,HEAD method=X-Y { proxy a }\n"
                                   "route /h header=X-A header=X-B:yes { proxy a }\n"
                                   "route /c client=10.0.0.0/8,::1 { proxy a }\n"
                                   "route host=a.x,*.b.x { proxy a }\n"
                                   "route method=OPTIONS * { proxy a }\n"
                                   "}\n";

static struct route_match find(const struct snapshot *s, const struct facts *f)
{
    const struct site_conf *site = route_find_site(s, f->host);
    return site ? route_find(site, f) : (struct route_match){0};
}

/* The text of the route that serves a GET for path, as written. */
static const char *route_to(const struct snapshot *s, struct facts q)
{
    if (!q.method.p)
        q.method = SLICE("GET");
    struct route_match m = find(s, &q);
    return m.route ? m.route->text.p : "-";
}

static const char *path_to(const struct snapshot *s, const char *path)
{
    return route_to(s, (struct facts){.path = slice_str(path)});
}

static void test_the_first_route_that_matches_wins(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    static const struct {
        const char *path, *route;
    } cases[] = {
        {"/exact", "/exact"},
        {"/exact/", "-"},
        {"/Exact", "-"},
        {"/prefix/", "/prefix/*"},
        {"/prefix/x.png", "/prefix/*"},
        {"/prefix", "-"},
        {"/img", "/img* *.png"},
        {"/imgs/1", "/img* *.png"},
        {"/x.png", "/img* *.png"},
        {"/x.pngx", "-"},
        {"/2024/abc", "~ ^/\\d{4}/[a-z]+$"},
        {"/2024/abc\n", "-"},
        {"/2024/ABC", "-"},
        {"/m", "/m method=GET,HEAD method=X-Y"},
        {"/h", "-"},
        {"/c", "-"},
        {"", "-"},
        {"*", "-"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(path_to(s, cases[i].path), cases[i].route);
    snapshot_unref(s);
}

static void test_methods_are_told_apart(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    struct facts q = {.path = SLICE("/m")};
    q.method = SLICE("X-Y");
    assert_string_equal(route_to(s, q), "/m method=GET,HEAD method=X-Y");
    q.method = SLICE("get");
    assert_string_equal(route_to(s, q), "-");
    q = (struct facts){.path = SLICE("*"), .method = SLICE("OPTIONS")};
    assert_string_equal(route_to(s, q), "* method=OPTIONS");
    snapshot_unref(s);
}

static void test_hosts_are_told_apart(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    struct facts q = {.path = SLICE("/"), .host = SLICE("A.x")};
    assert_string_equal(route_to(s, q), "host=a.x,*.b.x");
    q.host = SLICE("y.B.x");
    assert_string_equal(route_to(s, q), "host=a.x,*.b.x");
    q.host = SLICE("b.x");
    assert_string_equal(route_to(s, q), "-");
    q.host = SLICE("xb.x");
    assert_string_equal(route_to(s, q), "-");
    snapshot_unref(s);
}

static void test_every_header_asked_for_must_be_there(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    struct field lines[] = {
        {.name = SLICE_INIT("x-b"), .value = SLICE_INIT("no")},
        {.name = SLICE_INIT("x-a"), .value = SLICE_INIT("")},
        {.name = SLICE_INIT("X-B"), .value = SLICE_INIT("yes")},
    };
    struct fields fields = {.v = lines, .n = 3};
    struct facts q = {.path = SLICE("/h"), .fields = &fields};
    assert_string_equal(route_to(s, q), "/h header=X-A header=X-B:yes");
    lines[2].dropped = true;
    assert_string_equal(route_to(s, q), "-");
    fields.n = 2;
    lines[0].value = SLICE("Yes");
    assert_string_equal(route_to(s, q), "-");
    snapshot_unref(s);
}

static void test_clients_are_told_apart(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    struct sockaddr_in client = {.sin_family = AF_INET};
    struct facts q = {.path = SLICE("/c"), .client = (struct sockaddr *)&client};
    inet_pton(AF_INET, "10.1.2.3", &client.sin_addr);
    assert_string_equal(route_to(s, q), "/c client=10.0.0.0/8,::1");
    inet_pton(AF_INET, "11.1.2.3", &client.sin_addr);
    assert_string_equal(route_to(s, q), "-");
    snapshot_unref(s);
}

/* A route whose regex gives up may be what keeps a request out: those behind it are not tried. */
static void test_a_costly_regex_ends_the_search(void **state)
{
    (void)state;
    struct snapshot *s =
        load(POOLS "site {\nroute ~ ^(/a+)+$ { proxy a }\nroute * { proxy a }\n}\n");
    char path[200];
    memset(path, 'a', sizeof(path));
    for (size_t i = 0; i < sizeof(path); i += 3)
        path[i] = '/';
    path[sizeof(path) - 1] = '!';
    struct facts q = {.path = slice_of(path, sizeof(path)), .method = SLICE("GET")};
    struct snapshot *worse =
        load(POOLS "site {\nroute ~ ^/(a|aa|aaa)+$ { proxy a }\nroute * { proxy a }\n}\n");
    assert_non_null(find(s, &q).route); /* fails fast: a later route takes it */
    memset(path + 1, 'a', sizeof(path) - 2);
    struct route_match m = find(worse, &q);
    assert_true(m.gave_up);
    assert_null(m.route);
    snapshot_unref(s);
    snapshot_unref(worse);
}

static void *match_often(void *p)
{
    for (int i = 0; i < 2000 && p; i++)
        if (strcmp(path_to(p, "/2024/abc"), "~ ^/\\d{4}/[a-z]+$") != 0)
            p = NULL;
    regex_end_thread();
    return p;
}

static void test_threads_match_at_the_same_time(void **state)
{
    (void)state;
    struct snapshot *s = load(routes);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, match_often, s), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, s);
    }
    snapshot_unref(s);
}

/* With SHOW_SPEED set: what a typical search costs. */
static void test_searching_is_cheap(void **state)
{
    (void)state;
    if (!getenv("SHOW_SPEED"))
        return;
    struct snapshot *s = load(POOLS "site other.org x.org { proxy a }\n"
                                    "site www.example.org *.example.org {\n"
                                    "route /static/* { proxy a }\nroute *.php { proxy a }\n"
                                    "route /api/* method=POST { proxy a }\n"
                                    "route * { proxy a }\n}\n");
    struct facts q = {
        .path = SLICE("/some/page"), .method = SLICE("GET"), .host = SLICE("www.example.org")};
    struct timespec a, b;
    const int times = 1000000;
    size_t found = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (int i = 0; i < times; i++)
        found += find(s, &q).route != NULL;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    assert_int_equal(found, times);
    print_message("%.0f ns for each\n",
                  ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / times);
    snapshot_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_nearest_name_of_a_host_wins),
        cmocka_unit_test(test_the_default_site_takes_the_rest),
        cmocka_unit_test(test_many_names_are_all_found),
        cmocka_unit_test(test_the_first_route_that_matches_wins),
        cmocka_unit_test(test_methods_are_told_apart),
        cmocka_unit_test(test_hosts_are_told_apart),
        cmocka_unit_test(test_every_header_asked_for_must_be_there),
        cmocka_unit_test(test_clients_are_told_apart),
        cmocka_unit_test(test_a_costly_regex_ends_the_search),
        cmocka_unit_test(test_threads_match_at_the_same_time),
        cmocka_unit_test(test_searching_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
