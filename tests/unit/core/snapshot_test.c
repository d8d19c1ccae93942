/* What a configuration becomes, and what is said about a wrong one.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../config/memory_loader.h"
#include "../config/report_case.h"
#include "core/snapshot.h"

static struct snapshot *load(const char *text, struct config_diag *diag)
{
    config_diag_init(diag);
    return snapshot_load_text(SLICE("t"), slice_str(text), &memory_loader, diag);
}

static struct snapshot *must_load(const char *text)
{
    struct config_diag diag;
    struct snapshot *s = load(text, &diag);
    if (diag.first)
        print_message("%s\n", config_diag_print(&diag, &diag.arena).p);
    assert_non_null(s);
    config_diag_fini(&diag);
    return s;
}

/* clang-format off */
static const struct report_case faults[] = {
#include "snapshot_faults.def"
#include "admit_faults.def"
};
/* clang-format on */

static void test_every_fault_has_its_report(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct config_diag diag;
        struct snapshot *s = load(faults[i].text, &diag);
        struct slice report = config_diag_print(&diag, &diag.arena);
        if (!report_is_shown(&faults[i], s != NULL, report.n ? report.p : "")) {
            assert_string_equal(report.n ? report.p : "", faults[i].report);
            assert_int_equal(s != NULL, faults[i].ok);
        }
        assert_int_equal(s == NULL, diag.errors > 0);
        snapshot_unref(s);
        config_diag_fini(&diag);
    }
}

static void test_what_is_not_said_has_its_default(void **state)
{
    (void)state;
    struct snapshot *s = must_load("listen 8080\npool a { backend b }\nsite { proxy a }\n");
    const struct gateway_conf *g = &s->gateway;
    assert_int_equal(g->threads, 0);
    assert_true(slice_eq(g->access_path, SLICE("stdout")));
    assert_true(slice_eq(g->error_path, SLICE("stderr")));
    assert_int_equal(g->error_level, LEVEL_INFO);
    assert_int_equal(g->head_bytes, 32768);
    assert_int_equal(g->head_ms, 10000);
    assert_int_equal(g->window, 65536);
    assert_int_equal(g->body_bytes, 0);
    const struct pool_conf *p = &s->pools[0];
    assert_true(slice_eq(p->protocol, SLICE("http")));
    assert_int_equal(p->attempts, 3);
    assert_int_equal(p->keep_idle, 256);
    assert_int_equal(p->host_mode, HOST_KEEP);
    assert_int_equal(p->backends[0].weight, 1);
    assert_int_equal(p->backends[0].endpoint.port, 80);
    assert_true(slice_eq(p->backends[0].text, SLICE("b:80")));
    assert_int_equal(s->sites[0].routes[0].serve.body_bytes, 0);
    assert_ptr_equal(s->sites[0].routes[0].pool, p);
    snapshot_unref(s);
}

static void test_what_is_said_counts(void **state)
{
    (void)state;
    struct snapshot *s = must_load(
        "gateway {\n"
        "    threads 3; user www; request-id off; stop-timeout 0\n"
        "    access-log - format=json\n"
        "    error-log off level=debug\n"
        "    trusted-proxies 10.0.0.0/8 unix\n    trusted-proxies ::1\n"
        "    limit head=16k body=10m window=128k\n"
        "    timeout idle=250ms\n"
        "}\n"
        "listen unix:/tmp/x backlog=7\n"
        "listen 127.0.0.1:${PORT}\n"
        "pool a {\n"
        "    backend http://[::1]:81/ weight=7 max-conns=9\n"
        "    backend unix:/run/b\n"
        "    backend c:83\n"
        "}\n"
        "pool b { backend c:1; host example.org; retry attempts=8; keep-alive idle=off }\n"
        "site one *.one { route /x method=GET,PUT method=POST { proxy b; limit body=unlimited } \n"
        "    proxy a }\n"
        "site { route /y { proxy b } }\n");
    const struct gateway_conf *g = &s->gateway;
    assert_int_equal(g->threads, 3);
    assert_false(g->request_id);
    assert_int_equal(g->stop_ms, 0);
    assert_true(slice_eq(g->access_path, SLICE("stdout")));
    assert_int_equal(g->access_format, ACCESS_JSON);
    assert_int_equal(g->error_path.n, 0);
    assert_int_equal(g->trusted_count, 3);
    assert_int_equal(g->head_bytes, 16384);
    assert_int_equal(g->idle_ms, 250);
    assert_int_equal(s->listens[0].backlog, 7);
    assert_int_equal(s->listens[1].address.kind, ADDRESS_INET);
    const struct pool_conf *a = &s->pools[0], *b = &s->pools[1];
    assert_int_equal(a->backend_count, 3);
    assert_true(slice_eq(a->backends[0].text, SLICE("[::1]:81")));
    assert_int_equal(a->backends[0].weight, 7);
    assert_int_equal(a->backends[0].max_conns, 9);
    assert_true(slice_eq(a->backends[1].text, SLICE("unix:/run/b")));
    assert_int_equal(b->host_mode, HOST_FIXED);
    assert_int_equal(b->keep_idle, 0);
    const struct route_conf *x = &s->sites[0].routes[0];
    assert_int_equal(x->match.count, 1);
    assert_int_equal(x->match.conds[0].count, 3);
    assert_int_equal(x->serve.body_bytes, 0);
    assert_int_equal(x->pool_index, 1);
    assert_true(slice_eq(x->text, SLICE("/x method=GET,PUT method=POST")));
    assert_int_equal(s->sites[0].routes[1].serve.body_bytes, 10 << 20);
    assert_int_equal(x->at.line, 18);
    snapshot_unref(s);
}

static void test_a_route_is_served_as_it_its_site_its_pool_or_the_gateway_says(void **state)
{
    (void)state;
    struct snapshot *s =
        must_load("gateway { timeout body=7s write=8s; limit body=9k }\n"
                  "listen 80\n"
                  "pool a { backend b:1; timeout response=1s idle=2s; buffer request memory=5k }\n"
                  "site { timeout response=3s write=4s; buffer response file=6m\n"
                  "    route /x { proxy a; timeout response=10s tunnel=11s; limit body=1k }\n"
                  "    route /y { proxy a; buffer off; timeout queue=12s request=13s }\n"
                  "    route /z { redirect /x } }\n"
                  "site one { proxy a }\n");
    const struct serve_conf *x = &s->sites[0].routes[0].serve, *y = &s->sites[0].routes[1].serve;
    const struct serve_conf *z = &s->sites[0].routes[2].serve, *one = &s->sites[1].routes[0].serve;
    assert_int_equal(x->response_ms, 10000);
    assert_int_equal(x->tunnel_ms, 11000);
    assert_int_equal(x->write_ms, 4000);
    assert_int_equal(x->body_ms, 7000);
    assert_int_equal(x->idle_ms, 2000);
    assert_int_equal(x->body_bytes, 1024);
    assert_false(x->buffer_request);
    assert_true(x->buffer_response);
    assert_int_equal(x->buffer_memory, 5 * 1024);
    assert_int_equal(x->buffer_file, 6 << 20);
    assert_int_equal(y->response_ms, 3000);
    assert_int_equal(y->queue_ms, 12000);
    assert_int_equal(y->request_ms, 13000);
    assert_false(y->buffer_request || y->buffer_response);
    assert_int_equal(y->body_bytes, 9 * 1024);
    assert_int_equal(z->write_ms, 4000);
    assert_int_equal(one->response_ms, 1000);
    assert_int_equal(one->write_ms, 8000);
    assert_int_equal(one->queue_ms, 10000);
    assert_true(one->buffer_request);
    assert_false(one->buffer_response);
    assert_int_equal(s->serve.body_ms, 7000);
    assert_int_equal(s->serve.body_bytes, 0);
    snapshot_unref(s);
}

static void test_last_reference_frees(void **state)
{
    (void)state;
    struct snapshot *s = must_load("listen 80\npool a { backend b:1 }\nsite { proxy a }\n");
    assert_ptr_equal(snapshot_ref(s), s);
    snapshot_unref(s);
    assert_int_equal(s->listen_count, 1);
    snapshot_unref(s);
    snapshot_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_fault_has_its_report),
        cmocka_unit_test(test_what_is_not_said_has_its_default),
        cmocka_unit_test(test_what_is_said_counts),
        cmocka_unit_test(test_a_route_is_served_as_it_its_site_its_pool_or_the_gateway_says),
        cmocka_unit_test(test_last_reference_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
