/* HTTP/1.1: backends from h1_peers.def, requests of clients cut at every byte, and what is written.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "codec/h1.h"

extern const struct back_codec h1_back_codec;

/* clang-format off */
static const struct peer_row rows[] = {
#define ROW(note, method, bytes, heads, body, verdict, why, closes) \
    {note, METHOD_##method, SLICE_INIT(bytes), heads, SLICE_INIT(body), verdict, why, closes},
#define PEER(note, method, bytes, heads, body, verdict, why) \
    ROW(note, method, bytes, heads, body, verdict, why, true)
#define STAY(note, method, bytes, heads, body, verdict, why) \
    ROW(note, method, bytes, heads, body, verdict, why, false)
#include "h1_peers.def"
};
/* clang-format on */
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void test_peers(void **state)
{
    (void)state;
    peer_play_rows(&h1_back_codec, rows, ROWS);
}

/* What comes behind a response stays in the connection's bytes, for the core to see. */
static void test_bytes_behind_a_response_are_left(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    struct slice bytes = SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 ");
    assert_int_equal(peer_arrive(&p, bytes), bytes.n - 9);
    assert_int_equal(p.result->verdict, KEPT);
    peer_fini(&p);
}

static void test_requests_follow_each_other(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    struct slice bytes = SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    for (int i = 0; i < 4; i++) {
        peer_play(&p, bytes, (size_t)i, 7, false);
        assert_int_equal(p.result->verdict, KEPT);
        memset(p.result, 0, sizeof(*p.result));
        p.codec->begin(p.state, &request.codec, &p.out);
        assert_false(p.codec->is_reusable(p.state));
        p.codec->put_end(p.state, NULL, &p.out);
    }
    peer_fini(&p);
}

static void test_not_kept_before_all_is_sent(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    struct slice bytes = SLICE("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nhi");
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_POST);
    request.codec.framing = (struct framing){BODY_LENGTH, 5};
    p.codec->begin(p.state, &request.codec, &p.out);
    peer_play(&p, bytes, 0, bytes.n, false);
    assert_int_equal(p.result->verdict, COMPLETE);
    peer_reset(&p, &request.codec); /* says the end, but fewer bytes went out than promised */
    peer_play(&p, bytes, 0, bytes.n, false);
    assert_int_equal(p.result->verdict, COMPLETE);
    peer_fini(&p);
}

static void test_upgrade_makes_a_tunnel(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_GET);
    request.codec.upgrade = SLICE("ws");
    peer_reset(&p, &request.codec);
    struct slice head = SLICE("HTTP/1.1 101 S\r\nUpgrade: ws\r\n\r\n");
    peer_play(&p, head, 5, 5, false);
    assert_string_equal(p.result->heads, "101 S tunnel Upgrade:ws");
    assert_true(p.codec->plain_left(p.state) == UINT64_MAX && p.codec->is_plain_out(p.state));
    peer_play(&p, SLICE("any\r\n\r\nbytes"), 1, 1, true);
    assert_int_equal(p.result->verdict, COMPLETE);
    assert_int_equal(p.result->body_n, 12);
    struct chain body;
    chain_init(&body, &p.bufs, SIZE_MAX);
    chain_copy(&body, SLICE("in"));
    chain_clear(&p.out);
    p.codec->put_body(p.state, &body, &p.out);
    peer_assert_bytes(peer_written(&p), SLICE("in"));
    peer_fini(&p);
}

static void test_plain_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_play(&p, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"), 3, 3, false);
    assert_int_equal(p.codec->plain_left(p.state), 7);
    p.codec->plain_taken(p.state, 7);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_arrive(&p, SLICE_NONE);
    assert_int_equal(p.result->verdict, KEPT);

    peer_reset(&p, &request.codec);
    peer_play(&p, SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"), 3, 3,
              false);
    assert_int_equal(p.codec->plain_left(p.state), 3); /* of the chunk */
    p.codec->plain_taken(p.state, 2);
    assert_int_equal(p.codec->plain_left(p.state), 1);
    p.codec->plain_taken(p.state, 1);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_arrive(&p, SLICE("\r\n0\r\n\r\n"));
    assert_int_equal(p.result->verdict, KEPT);

    peer_reset(&p, &request.codec);
    peer_play(&p, SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"), 3, 3, false);
    p.codec->plain_taken(p.state, 5);
    peer_arrive(&p, SLICE("more"));
    assert_int_equal(p.result->verdict, BROKEN);
    peer_fini(&p);
}

/* ---- requests of clients ---- */

struct request_row {
    const char *note;
    struct slice bytes;
    const char *seen; /* what was read, see read_all() */
};

#define GET_1  "GET /a HTTP/1.1\r\nHost: h\r\n"
#define POST_1 "POST /p HTTP/1.1\r\nHost: h\r\n"

static const struct request_row requests[] = {
    {"one", SLICE_INIT(GET_1 "\r\n"), "GET /a none."},
    {"an empty line before", SLICE_INIT("\r\n" GET_1 "\r\n"), "GET /a none."},
    {"pipelined", SLICE_INIT(GET_1 "\r\n" GET_1 "\r\n"), "GET /a none.GET /a none."},
    {"pipelined behind a body", SLICE_INIT(POST_1 "Content-Length: 2\r\n\r\nhi" GET_1 "\r\n"),
     "POST /p length[hi].GET /a none."},
    {"a length of nothing", SLICE_INIT(POST_1 "Content-Length: 0\r\n\r\n"), "POST /p length[]."},
    {"chunked",
     SLICE_INIT(POST_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" GET_1 "\r\n"),
     "POST /p chunked[hi].GET /a none."},
    {"trailers",
     SLICE_INIT(POST_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n"),
     "POST /p chunked[hi]{X:y}."},
    {"half a head", SLICE_INIT(GET_1), "..."},
    {"half a body", SLICE_INIT(POST_1 "Content-Length: 3\r\n\r\nhi"), "POST /p length[hi..."},
    {"TLS", SLICE_INIT("\26\3\1\0\5\1\0\0\1\0"), "400"},
    {"no method", SLICE_INIT(" GET / HTTP/1.1\r\n\r\n"), "400"},
    {"no Host", SLICE_INIT("GET / HTTP/1.1\r\n\r\n"), "400"},
    {"smuggling",
     SLICE_INIT(POST_1 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"},
    {"a bad chunk", SLICE_INIT(POST_1 "Transfer-Encoding: chunked\r\n\r\n2\r\nhix"),
     "POST /p chunked[hi400"},
    {"a length in the trailers",
     SLICE_INIT(POST_1 "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n"),
     "POST /p chunked[400"},
    {"garbage behind a request", SLICE_INIT(GET_1 "\r\n\0"), "GET /a none.400"},
};

struct client {
    struct h1_reader reader;
    struct arena *arena;
    char *guarded_end;
    char seen[256];
    bool in_body, over;
};

static enum codec_event read_one(struct client *c, struct slice *in)
{
    static const char *const kinds[] = {"none", "length[", "chunked[", "close", "tunnel"};
    struct codec_result r;
    struct request_head head;
    enum codec_event event;
    if (!c->in_body)
        event = h1_read_request(&c->reader, in, &peer_limits, c->arena, &head, &r);
    else
        event = h1_read_body(&c->reader, in, &peer_limits, c->arena, &r);
    if (event == CODEC_HEAD)
        peer_note(c->seen, "", SLICE_FMT " " SLICE_FMT " %s", SLICE_ARG(head.method_text),
                  SLICE_ARG(head.target), kinds[r.framing.kind]);
    else if (event == CODEC_DATA)
        peer_note(c->seen, "", SLICE_FMT, SLICE_ARG(r.data));
    else if (event == CODEC_BAD)
        peer_note(c->seen, "", "%u", r.fault.status);
    if (event == CODEC_END) {
        peer_note(c->seen, "", "%s", c->reader.kind == BODY_NONE ? "" : "]");
        for (unsigned i = 0; i < r.trailers.n; i++)
            peer_note(c->seen, "", "{" SLICE_FMT ":" SLICE_FMT "}", SLICE_ARG(r.trailers.v[i].name),
                      SLICE_ARG(r.trailers.v[i].value));
        peer_note(c->seen, "", ".");
        h1_reader_init(&c->reader);
    }
    c->in_body = event == CODEC_END ? false : c->in_body || event == CODEC_HEAD;
    c->over = event == CODEC_BAD;
    return event;
}

static size_t client_arrive(struct client *c, struct slice waiting)
{
    size_t before = waiting.n;
    enum codec_event event;
    do {
        struct slice in = slice_of(c->guarded_end - waiting.n, waiting.n);
        if (waiting.n)
            memmove(c->guarded_end - waiting.n, waiting.p, waiting.n);
        event = read_one(c, &in);
        waiting = slice_skip(waiting, waiting.n - in.n);
    } while (event != CODEC_MORE && !c->over);
    return before - waiting.n;
}

static void read_all(struct client *c, struct slice bytes, size_t first, size_t piece)
{
    size_t taken = 0, arrived = 0;
    h1_reader_init(&c->reader);
    c->in_body = c->over = false;
    c->seen[0] = '\0';
    for (size_t n = first; arrived < bytes.n && !c->over; n = piece) {
        arrived = arrived + n < bytes.n ? arrived + n : bytes.n;
        taken += client_arrive(c, slice_of(bytes.p + taken, arrived - taken));
    }
    if (!c->over && (c->in_body || taken < bytes.n))
        peer_note(c->seen, "", "...");
}

static void test_requests_cut_everywhere(void **state)
{
    (void)state;
    struct peer p; /* for its memory */
    peer_init(&p, &h1_back_codec);
    struct client c = {.arena = &p.arena, .guarded_end = p.guarded_end};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        const struct request_row *row = &requests[i];
        for (size_t first = 0; first <= row->bytes.n; first++) {
            read_all(&c, row->bytes, first, row->bytes.n);
            if (strcmp(c.seen, row->seen) != 0)
                fail_msg("%s (first piece of %zu): '%s'", row->note, first, c.seen);
        }
        read_all(&c, row->bytes, 1, 1);
        assert_string_equal(c.seen, row->seen);
        arena_fini(&p.arena);
    }
    peer_fini(&p);
}

/* ---- writing ---- */

static void test_request_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_POST);
    request.codec.target = SLICE("/a?b");
    request.codec.upgrade = SLICE("ws");
    request.codec.framing.kind = BODY_CHUNKED;
    request_add(&request, "X-A", "1");
    request_add(&request, "Gone", "2");
    request.fields[1].dropped = true;
    request_add(&request, "X-B", "");
    p.codec->begin(p.state, &request.codec, &p.out);
    struct chain body;
    chain_init(&body, &p.bufs, SIZE_MAX);
    p.codec->put_body(p.state, &body, &p.out); /* nothing: would be the last chunk */
    chain_copy(&body, SLICE("hello, world"));
    p.codec->put_body(p.state, &body, &p.out);
    struct field trailer = {.name = SLICE("T"), .value = SLICE("v")};
    const struct fields trailers = {.v = &trailer, .n = 1, .cap = 1};
    p.codec->put_end(p.state, &trailers, &p.out);
    peer_assert_bytes(
        peer_written(&p),
        SLICE("POST /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-B: \r\n"
              "Transfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n"
              "c\r\nhello, world\r\n0\r\nT: v\r\n\r\n"));
    peer_fini(&p);
}

static void write_response(struct peer *p, const struct h1_response *response, const char *want)
{
    struct h1_writer w;
    struct chain body;
    chain_init(&body, &p->bufs, SIZE_MAX);
    chain_copy(&body, SLICE("hi"));
    h1_put_response(&w, response, &p->out);
    h1_put_body(&w, &body, &p->out);
    bool whole = h1_put_end(&w, NULL, &p->out);
    assert_int_equal(whole, response->framing.kind != BODY_LENGTH || response->framing.length <= 2);
    chain_clear(&body);
    peer_assert_bytes(peer_written(p), slice_str(want));
}

static void test_response_bytes(void **state)
{
    (void)state;
    struct peer p;
    peer_init(&p, &h1_back_codec);
    const struct response_head head = {.status = 200, .reason = SLICE("OK"), .minor = 1};
    const struct response_head odd = {.status = 599, .minor = 1};
    write_response(&p, &(struct h1_response){.head = &head, .framing = {BODY_LENGTH, 2}},
                   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    write_response(&p, &(struct h1_response){.head = &head, .framing = {BODY_LENGTH, 1}},
                   "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nh");
    write_response(&p, &(struct h1_response){.head = &head, .framing = {BODY_LENGTH, 3}},
                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi");
    write_response(&p,
                   &(struct h1_response){.head = &odd, .framing = {BODY_NONE, 0}, .close = true},
                   "HTTP/1.1 599 \r\nConnection: close\r\n\r\n");
    write_response(
        &p, &(struct h1_response){.head = &head, .framing = {BODY_CLOSE, 0}, .keep_alive = true},
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhi");
    write_response(
        &p,
        &(struct h1_response){.head = &head, .framing = {BODY_CHUNKED, 0}, .date = SLICE("today")},
        "HTTP/1.1 200 OK\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\n\r\n");
    write_response(
        &p,
        &(struct h1_response){
            .head = &head, .framing = {BODY_TUNNEL, 0}, .close = true, .upgrade = SLICE("ws")},
        "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\nhi");
    h1_put_interim(&head, &p.out);
    peer_assert_bytes(peer_written(&p), SLICE("HTTP/1.1 200 OK\r\n\r\n"));
    peer_fini(&p);
}

/* Heads larger than any buf are written all the same. */
static void test_huge_head(void **state)
{
    (void)state;
    enum { VALUE = 100000 };
    struct peer p;
    struct test_request request;
    char *value = mem_zalloc(VALUE + 1);
    memset(value, 'v', VALUE);
    peer_init(&p, &h1_back_codec);
    request_init(&request, METHOD_GET);
    request_add(&request, "X", value);
    peer_reset(&p, &request.codec);
    struct slice got = peer_written(&p);
    assert_int_equal(got.n, sizeof("GET /a.b HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n") - 1 + VALUE);
    assert_true(slice_ends(got, SLICE("vvv\r\n\r\n")));
    free(value);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_bytes_behind_a_response_are_left),
        cmocka_unit_test(test_requests_follow_each_other),
        cmocka_unit_test(test_not_kept_before_all_is_sent),
        cmocka_unit_test(test_upgrade_makes_a_tunnel),
        cmocka_unit_test(test_plain_bytes),
        cmocka_unit_test(test_requests_cut_everywhere),
        cmocka_unit_test(test_request_bytes),
        cmocka_unit_test(test_response_bytes),
        cmocka_unit_test(test_huge_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
