/* SCGI and CGI: every row of cgi_peers.def over both, whole, cut in two at every byte and byte by
 * byte; what SCGI sends, byte by byte; and the environment of programs.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "codec/cgi.h"

extern const struct back_codec scgi_back_codec, cgi_back_codec;

/* clang-format off */
static const struct peer_row rows[] = {
#define ROW(note, method, bytes, heads, body, verdict, why, closes) \
    {note, METHOD_##method, SLICE_INIT(bytes), heads, SLICE_INIT(body), verdict, why, closes},
#define PEER(note, method, bytes, heads, body, verdict, why) \
    ROW(note, method, bytes, heads, body, verdict, why, true)
#define OPEN_PEER(note, method, bytes, heads, body, verdict, why) \
    ROW(note, method, bytes, heads, body, verdict, why, false)
#include "cgi_peers.def"
};
/* clang-format on */
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void test_scgi_peers(void **state)
{
    (void)state;
    peer_play_rows(&scgi_back_codec, rows, ROWS);
    assert_true(ROWS >= 60);
}

static void test_cgi_peers(void **state)
{
    (void)state;
    peer_play_rows(&cgi_back_codec, rows, ROWS);
}

static void test_scgi_request_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &scgi_back_codec);
    request_init(&request, METHOD_POST);
    request.codec.framing = (struct framing){BODY_LENGTH, 5};
    request_add(&request, "Content-Length", "5");
    request_add(&request, "Content-Type", "a/b");
    request_add(&request, "X-Y", "");
    p.codec->begin(p.state, &request.codec, &p.out);
    struct chain body;
    chain_init(&body, &p.bufs, SIZE_MAX);
    chain_copy(&body, SLICE("hello, and more"));
    assert_true(p.codec->is_plain_out(p.state));
    p.codec->put_body(p.state, &body, &p.out);
    p.codec->put_end(p.state, NULL, &p.out);
    chain_clear(&body);
    static const struct slice want = SLICE_INIT("280:CONTENT_LENGTH\0"
                                                "5\0"
                                                "SCGI\0"
                                                "1\0"
                                                "GATEWAY_INTERFACE\0CGI/1.1\0"
                                                "SERVER_SOFTWARE\0sluice/" SLUICE_VERSION "\0"
                                                "SERVER_PROTOCOL\0HTTP/1.1\0"
                                                "REQUEST_METHOD\0POST\0"
                                                "REQUEST_URI\0/a.b\0"
                                                "QUERY_STRING\0\0"
                                                "REQUEST_SCHEME\0http\0"
                                                "CONTENT_TYPE\0a/b\0"
                                                "HTTP_HOST\0h\0"
                                                "DOCUMENT_URI\0/a.b\0"
                                                "SCRIPT_NAME\0\0"
                                                "PATH_INFO\0/a.b\0"
                                                "REDIRECT_STATUS\000200\0"
                                                "HTTP_X_Y\0\0"
                                                ",hello");
    peer_assert_bytes(peer_written(&p), want);
    peer_fini(&p);
}

/* The netstring's length has one digit more with every power of ten. */
static void test_scgi_netstring_of_any_size(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &scgi_back_codec);
    for (size_t size = 1; size < 200000; size = size * 3 + 7) {
        char *value = mem_zalloc(size + 1);
        memset(value, 'v', size);
        request_init(&request, METHOD_GET);
        request_add(&request, "X", value);
        peer_reset(&p, &request.codec);
        struct slice bytes = peer_written(&p);
        size_t colon = slice_find(bytes, ':');
        uint64_t n;
        assert_true(num_dec(slice_first(bytes, colon), &n));
        assert_int_equal(bytes.n, colon + 1 + n + 1);
        assert_int_equal(bytes.p[bytes.n - 1], ',');
        assert_int_equal(bytes.p[bytes.n - 2], '\0');
        assert_true(slice_starts(slice_skip(bytes, colon + 1), SLICE("CONTENT_LENGTH\0000\0SCGI")));
        free(value);
    }
    peer_fini(&p);
}

static void test_cgi_writes_the_body_alone(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &cgi_back_codec);
    request_init(&request, METHOD_POST);
    request.codec.framing = (struct framing){BODY_LENGTH, 5};
    p.codec->begin(p.state, &request.codec, &p.out);
    assert_true(chain_is_empty(&p.out));
    struct chain body;
    chain_init(&body, &p.bufs, SIZE_MAX);
    chain_copy(&body, SLICE("he"));
    p.codec->put_body(p.state, &body, &p.out);
    chain_copy(&body, SLICE("llo"));
    p.codec->put_body(p.state, &body, &p.out);
    p.codec->put_end(p.state, NULL, &p.out);
    peer_assert_bytes(peer_written(&p), SLICE("hello"));
    assert_true(p.codec->finishes);
    peer_fini(&p);
}

static void test_environment_of_a_program(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &cgi_back_codec);
    request_init(&request, METHOD_GET);
    request_add(&request, "X-A", "b=c");
    request_add(&request, "Proxy", "evil");
    const struct cgi_param params[] = {{SLICE("PATH"), SLICE("/bin")}};
    request.cgi.params = params;
    request.cgi.param_count = 1;
    char **env = cgi_environ(&request.codec, &p.arena);
    const char *const want[] = {"GATEWAY_INTERFACE=CGI/1.1",
                                ("SERVER_SOFTWARE=sluice/" SLUICE_VERSION),
                                "SERVER_PROTOCOL=HTTP/1.1",
                                "REQUEST_METHOD=GET",
                                "REQUEST_URI=/a.b",
                                "QUERY_STRING=",
                                "REQUEST_SCHEME=http",
                                "HTTP_HOST=h",
                                "DOCUMENT_URI=/a.b",
                                "SCRIPT_NAME=",
                                "PATH_INFO=/a.b",
                                "REDIRECT_STATUS=200",
                                "HTTP_X_A=b=c",
                                "PATH=/bin"};
    size_t n = 0;
    for (; env[n]; n++)
        assert_string_equal(env[n], want[n]);
    assert_int_equal(n, sizeof(want) / sizeof(want[0]));
    peer_fini(&p);
}

static void test_plain_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &scgi_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_play(&p, SLICE("X: y\n\nhi"), 3, 3, false);
    assert_true(p.codec->plain_left(p.state) == UINT64_MAX);
    p.codec->plain_taken(p.state, 1 << 20);
    assert_true(p.codec->plain_left(p.state) == UINT64_MAX);
    peer_close(&p);
    assert_int_equal(p.result->verdict, COMPLETE);

    peer_reset(&p, &request.codec);
    peer_play(&p, SLICE("Content-Length: 10\n\nhi"), 3, 3, false);
    assert_int_equal(p.codec->plain_left(p.state), 8);
    p.codec->plain_taken(p.state, 8);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_arrive(&p, SLICE_NONE);
    assert_int_equal(p.result->verdict, COMPLETE);
    peer_fini(&p);
}

static void test_local_redirects(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *location; /* NULL: none */
    } heads[] = {
        {"Location: /a\n\n", "/a"},
        {"location: /a?b\r\n\r\n", "/a?b"},
        {"Location: /\n\n", "/"},
        {"Location: //a/\n\n", NULL},
        {"Location: /a#b\n\n", NULL},
        {"Location: http://a/\n\n", NULL},
        {"Location: a\n\n", NULL},
        {"Location:\n\n", NULL},
        {"Location: /a\nStatus: 302\n\n", NULL},
        {"Status: 302 Found\nLocation: /a\n\n", NULL},
        {"Location: /a\nX: y\n\n", NULL},
        {"HTTP/1.1 302 Found\nLocation: /a\n\n", NULL},
        {"Content-Type: a/b\n\n", NULL},
    };
    struct buf_pool bufs;
    struct arena a;
    buf_pool_init(&bufs, 0);
    arena_init(&a, &bufs);
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct cgi_reader r;
        struct response_head head;
        struct codec_result result = {.response = &head};
        struct slice in = slice_str(heads[i].head), location = SLICE_NONE;
        cgi_reader_init(&r, METHOD_GET);
        assert_int_equal(cgi_read(&r, &in, &peer_limits, &a, &result), CODEC_HEAD);
        assert_int_equal(cgi_is_local_redirect(&head, &location), heads[i].location != NULL);
        if (heads[i].location)
            assert_true(slice_eq(location, slice_str(heads[i].location)));
    }
    arena_fini(&a);
    buf_pool_fini(&bufs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scgi_peers),
        cmocka_unit_test(test_cgi_peers),
        cmocka_unit_test(test_scgi_request_bytes),
        cmocka_unit_test(test_scgi_netstring_of_any_size),
        cmocka_unit_test(test_cgi_writes_the_body_alone),
        cmocka_unit_test(test_environment_of_a_program),
        cmocka_unit_test(test_plain_bytes),
        cmocka_unit_test(test_local_redirects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
