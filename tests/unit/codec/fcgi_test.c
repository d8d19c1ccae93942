/* FastCGI: every row of fcgi_peers.def whole, cut in two at every byte and byte by byte; what is
 * sent, byte by byte; and the connection over several requests.
 * SPDX-License-Identifier: MIT */
#include "peer.h"

#include "codec/fcgi.h"

extern const struct back_codec fcgi_back_codec;

/* ---- records ---- */

struct record {
    enum { NO_RECORD, RECORD, RAW_BYTES } kind;
    uint8_t type;
    uint16_t id;
    uint8_t padding;
    int claimed; /* length in the header; -1: the true one */
    struct slice content;
};

#define REC(type, id, text)                                                                        \
    {                                                                                              \
        RECORD, type, id, 0, -1, SLICE_INIT(text)                                                  \
    }
#define PADDED(type, n, text)                                                                      \
    {                                                                                              \
        RECORD, type, 1, n, -1, SLICE_INIT(text)                                                   \
    }
#define CUT(type, length, text)                                                                    \
    {                                                                                              \
        RECORD, type, 1, 0, length, SLICE_INIT(text)                                               \
    }
#define RAW(bytes)                                                                                 \
    {                                                                                              \
        RAW_BYTES, 0, 0, 0, -1, SLICE_INIT(bytes)                                                  \
    }
#define OUT(text) REC(6, 1, text)
#define ERR(text) REC(7, 1, text)
#define END       REC(3, 1, "\0\0\0\0\0\0\0\0")
#define LIST(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

struct row {
    const char *note;
    enum method method;
    struct record records[8];
    const char *heads;
    struct slice body;
    const char *log;
    enum verdict verdict;
    const char *why; /* NULL: the grammar's business */
};

/* clang-format off */
static const struct row rows[] = {
#define PEER(note, method, records, heads, body, log, verdict, why) \
    {note, METHOD_##method, LIST records, heads, SLICE_INIT(body), log, verdict, why},
#include "fcgi_peers.def"
};
/* clang-format on */
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static size_t put_record(char *p, const struct record *r)
{
    if (r->kind == RAW_BYTES) {
        memcpy(p, r->content.p, r->content.n);
        return r->content.n;
    }
    unsigned length = r->claimed < 0 ? (unsigned)r->content.n : (unsigned)r->claimed;
    const unsigned char header[8] = {1,
                                     r->type,
                                     (unsigned char)(r->id >> 8),
                                     (unsigned char)r->id,
                                     (unsigned char)(length >> 8),
                                     (unsigned char)length,
                                     r->padding,
                                     0};
    memcpy(p, header, sizeof(header));
    memcpy(p + 8, r->content.p, r->content.n);
    memset(p + 8 + r->content.n, 'P', r->padding);
    return 8 + r->content.n + r->padding;
}

static struct slice bytes_of(const struct row *row, char *space)
{
    size_t n = 0;
    for (const struct record *r = row->records; r < row->records + 8 && r->kind; r++)
        n += put_record(space + n, r);
    return slice_of(space, n);
}

/* ---- peers ---- */

static void check(const struct row *row, const struct outcome *o, size_t first, size_t piece)
{
    bool same = o->verdict == row->verdict && strcmp(o->heads, row->heads) == 0 &&
                strcmp(o->log, row->log) == 0 && slice_eq(slice_of(o->body, o->body_n), row->body);
    if (same && row->why && row->verdict >= BROKEN)
        same = strcmp(o->fault.what, row->why) == 0;
    if (same && row->verdict == BROKEN)
        same = o->fault.status == 502 && o->fault.rule;
    if (!same)
        fail_msg("%s (pieces of %zu, %zu): verdict %d, heads '%s', body '%.*s', log '%s', %s",
                 row->note, first, piece, o->verdict, o->heads, (int)o->body_n, o->body, o->log,
                 o->verdict >= BROKEN ? o->fault.what : "");
}

static void test_peers(void **state)
{
    (void)state;
    struct peer p;
    char space[2048];
    peer_init(&p, &fcgi_back_codec);
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        struct test_request request;
        request_init(&request, row->method);
        struct slice bytes = bytes_of(row, space);
        bool closes = row->verdict != KEPT;
        for (size_t first = 0; first <= bytes.n; first++) {
            peer_reset(&p, &request.codec);
            peer_play(&p, bytes, first, bytes.n + 1, closes);
            check(row, p.result, first, bytes.n);
        }
        peer_reset(&p, &request.codec);
        peer_play(&p, bytes, 1, 1, closes);
        check(row, p.result, 1, 1);
    }
    peer_fini(&p);
    assert_true(ROWS >= 100);
}

/* A record after the other with 65535 bytes each, and a large one of STDERR in between. */
static void test_large_records(void **state)
{
    (void)state;
    enum { RECORDS = 5, FULL = 65535 };
    struct peer p;
    struct test_request request;
    char *bytes = mem_zalloc(PEER_BODY_MAX + 4096), *content = mem_zalloc(FULL);
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    size_t n = put_record(bytes, &(struct record)OUT("X: y\n\n"));
    for (size_t i = 0; i < RECORDS; i++) {
        memset(content, (int)('a' + i), FULL);
        n +=
            put_record(bytes + n, &(struct record){RECORD, 6, 1, 255, -1, slice_of(content, FULL)});
    }
    n += put_record(bytes + n, &(struct record){RECORD, 7, 1, 1, -1, slice_of(content, 20000)});
    n += put_record(bytes + n, &(struct record)END);
    const size_t pieces[] = {n, 1448, 4096, 65536, 65543};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        peer_reset(&p, &request.codec);
        /* More than the guarded pages hold never waits: what has been taken is gone. */
        peer_play(&p, slice_of(bytes, n), 17, pieces[i] < 131072 ? pieces[i] : 131072, false);
        assert_int_equal(p.result->verdict, KEPT);
        assert_int_equal(p.result->body_n, (size_t)RECORDS * FULL);
        for (size_t at = 0; at < p.result->body_n; at += 257)
            assert_int_equal(p.result->body[at], 'a' + (int)(at / FULL));
    }
    free(bytes);
    free(content);
    peer_fini(&p);
}

/* What nobody asked for is read up to a bound only. */
static void test_endless_excess_ends(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char *bytes = mem_zalloc(1 << 20);
    const char *heads[] = {"X: y\n\n", "Content-Length: 0\n\n"};
    peer_init(&p, &fcgi_back_codec);
    for (int i = 0; i < 2; i++) {
        size_t n = put_record(bytes, &(struct record){RECORD, 6, 1, 0, -1, slice_str(heads[i])});
        while (n < 100000)
            n += put_record(bytes + n, &(struct record)OUT("excess excess excess excess"));
        request_init(&request, i ? METHOD_GET : METHOD_HEAD);
        peer_reset(&p, &request.codec);
        peer_play(&p, slice_of(bytes, n), 1000, 1000, false);
        assert_int_equal(p.result->verdict, COMPLETE);
    }
    free(bytes);
    peer_fini(&p);
}

/* ---- what is sent ---- */

static void test_request_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    request.codec.keep = false;
    request.codec.target = SLICE("/a?b");
    request_add(&request, "X-Y", "z");
    peer_reset(&p, &request.codec);
    static const struct slice want =
        SLICE_INIT("\1\1\0\1\0\10\0\0"
                   "\0\1\0\0\0\0\0\0"
                   "\1\4\0\1\0\360\0\0"
                   "\21\7GATEWAY_INTERFACECGI/1.1"
                   "\17\14SERVER_SOFTWAREsluice/" SLUICE_VERSION "\17\10SERVER_PROTOCOLHTTP/1.1"
                   "\16\3REQUEST_METHODGET"
                   "\13\4REQUEST_URI/a?b"
                   "\14\1QUERY_STRINGb"
                   "\16\4REQUEST_SCHEMEhttp"
                   "\11\1HTTP_HOSTh"
                   "\14\4DOCUMENT_URI/a.b"
                   "\13\0SCRIPT_NAME"
                   "\11\4PATH_INFO/a.b"
                   "\17\3REDIRECT_STATUS200"
                   "\10\1HTTP_X_Yz"
                   "\1\4\0\1\0\0\0\0"
                   "\1\5\0\1\0\0\0\0");
    peer_assert_bytes(peer_written(&p), want);
    peer_fini(&p);
}

/* Takes a record off *bytes; false at their end. */
static bool next_record(struct slice *bytes, uint8_t *type, uint16_t *id, struct slice *content)
{
    if (bytes->n == 0)
        return false;
    const unsigned char *u = (const unsigned char *)bytes->p;
    assert_true(bytes->n >= 8 && u[0] == 1 && u[7] == 0);
    size_t n = (size_t)u[4] << 8 | u[5];
    assert_true(bytes->n >= 8 + n + u[6]);
    *type = u[1];
    *id = (uint16_t)(u[2] << 8 | u[3]);
    *content = slice_of(bytes->p + 8, n);
    *bytes = slice_skip(*bytes, 8 + n + u[6]);
    return true;
}

/* The content of all records of a type, which the empty one ends; counts them. */
static struct slice stream_of(struct peer *p, struct slice bytes, uint8_t wanted, unsigned *records)
{
    char *all = arena_alloc(&p->arena, bytes.n + 1);
    size_t n = 0;
    uint8_t type;
    uint16_t id;
    struct slice content;
    bool ended = false;
    *records = 0;
    while (next_record(&bytes, &type, &id, &content)) {
        assert_int_equal(id, 1);
        if (type != wanted)
            continue;
        assert_false(ended);
        ended = content.n == 0;
        *records += !ended;
        memcpy(all + n, content.p, content.n);
        n += content.n;
    }
    assert_true(ended);
    return slice_of(all, n);
}

static void test_params_beyond_a_record(void **state)
{
    (void)state;
    enum { FIELDS = 300, VALUE = 997 };
    struct peer p;
    struct test_request request;
    char names[FIELDS][16];
    char *value = mem_zalloc(VALUE + 1), *huge = mem_zalloc(150001);
    memset(value, 'v', VALUE);
    memset(huge, 'h', 150000);
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    for (int i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof(names[i]), "X-%d", i);
        request_add(&request, names[i], value);
    }
    request_add(&request, "X-Huge", huge);
    peer_reset(&p, &request.codec);
    unsigned records, fields = 0;
    struct slice pairs = stream_of(&p, peer_written(&p), 4, &records), name, v;
    assert_true(records >= (FIELDS * VALUE + 150000) / 65535);
    while (fcgi_next_pair(&pairs, &name, &v)) {
        if (slice_eq(name, SLICE("HTTP_X_HUGE")))
            assert_int_equal(v.n, 150000);
        else if (slice_starts(name, SLICE("HTTP_X_")))
            assert_true(v.n == VALUE && v.p[0] == 'v' && ++fields);
    }
    assert_int_equal(pairs.n, 0);
    assert_int_equal(fields, FIELDS);
    free(value);
    free(huge);
    peer_fini(&p);
}

static void test_long_names_and_values_have_long_lengths(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char value[201];
    unsigned records;
    struct slice name, v;
    peer_init(&p, &fcgi_back_codec);
    for (size_t n = 126; n <= 129; n++) {
        request_init(&request, METHOD_GET);
        memset(value, 'v', n);
        value[n] = '\0';
        request_add(&request, "X", value);
        peer_reset(&p, &request.codec);
        struct slice pairs = stream_of(&p, peer_written(&p), 4, &records);
        bool found = false;
        while (fcgi_next_pair(&pairs, &name, &v))
            found |= slice_eq(name, SLICE("HTTP_X")) && v.n == n;
        assert_true(found && pairs.n == 0 && records == 1);
    }
    peer_fini(&p);
}

static void test_body_in_records(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 65527, 65528, 65529, 65535, 65536, 200000};
    struct peer p;
    struct test_request request;
    char *body = mem_zalloc(200000);
    for (size_t i = 0; i < 200000; i++)
        body[i] = (char)(i * 7 % 251);
    peer_init(&p, &fcgi_back_codec);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct chain in;
        unsigned records;
        chain_init(&in, &p.bufs, SIZE_MAX);
        request_init(&request, METHOD_POST);
        request.codec.framing = (struct framing){BODY_LENGTH, sizes[i]};
        memset(p.state, 0, p.codec->state_bytes);
        p.codec->begin(p.state, &request.codec, &p.out);
        chain_copy(&in, slice_of(body, sizes[i]));
        p.codec->put_body(p.state, &in, &p.out);
        assert_true(chain_is_empty(&in));
        p.codec->put_end(p.state, NULL, &p.out);
        struct slice got = stream_of(&p, peer_written(&p), 5, &records);
        peer_assert_bytes(got, slice_of(body, sizes[i]));
        assert_int_equal(records, (sizes[i] + 65527) / 65528);
    }
    assert_false(p.codec->is_plain_out(p.state));
    free(body);
    peer_fini(&p);
}

static void test_authorizer_gets_no_body(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    unsigned records;
    struct slice name, value;
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_POST);
    request.cgi.role = CGI_AUTHORIZER;
    request.codec.framing = (struct framing){BODY_LENGTH, 5};
    p.codec->begin(p.state, &request.codec, &p.out);
    struct chain in;
    chain_init(&in, &p.bufs, SIZE_MAX);
    chain_copy(&in, SLICE("hello"));
    p.codec->put_body(p.state, &in, &p.out);
    p.codec->put_end(p.state, NULL, &p.out);
    struct slice bytes = peer_written(&p), pairs = stream_of(&p, bytes, 4, &records);
    assert_int_equal(bytes.p[9], 2);
    while (fcgi_next_pair(&pairs, &name, &value)) {
        assert_false(slice_eq(name, SLICE("CONTENT_LENGTH")));
        assert_false(slice_eq(name, SLICE("PATH_INFO")));
        assert_false(slice_eq(name, SLICE("SCRIPT_NAME")));
    }
    uint8_t type = 0;
    uint16_t id;
    while (next_record(&bytes, &type, &id, &value))
        assert_int_not_equal(type, 5);
    struct field f = {.name = SLICE("variable-A")};
    assert_true(fcgi_is_variable(&f, &name) && slice_eq(name, SLICE("A")));
    f.name = SLICE("Variable-");
    assert_false(fcgi_is_variable(&f, &name));
    peer_fini(&p);
}

/* ---- the connection ---- */

static const struct row answer_1 = {.records = {OUT("X: y\n\nhi"), END}};
static const struct row answer_2 = {
    .records = {REC(6, 2, "X: y\n\nhi"), REC(3, 2, "\0\0\0\0\0\0\0\0")}};

static void begin_next(struct peer *p, const struct test_request *request)
{
    memset(p->result, 0, sizeof(*p->result));
    p->codec->begin(p->state, &request->codec, &p->out);
    p->codec->put_end(p->state, NULL, &p->out);
}

static void test_requests_follow_each_other(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char space[256];
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    for (int i = 0; i < 5; i++) {
        if (i)
            begin_next(&p, &request);
        peer_play(&p, bytes_of(i % 2 ? &answer_2 : &answer_1, space), 1, 3, false);
        assert_int_equal(p.result->verdict, KEPT);
    }
    peer_fini(&p);
}

/* A late record of the request before would carry its id. */
static void test_late_record_is_no_answer(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char space[256];
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    peer_play(&p, bytes_of(&answer_1, space), 1, 3, false);
    begin_next(&p, &request);
    peer_play(&p, bytes_of(&answer_1, space), 1, 3, false);
    assert_int_equal(p.result->verdict, BROKEN);
    assert_int_equal(p.result->body_n, 0);
    peer_fini(&p);
}

static void test_not_kept_before_all_is_sent(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char space[256];
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_POST);
    request.codec.framing = (struct framing){BODY_LENGTH, 5};
    p.codec->begin(p.state, &request.codec, &p.out);
    peer_play(&p, bytes_of(&answer_1, space), 1, 3, false);
    assert_int_equal(p.result->verdict, COMPLETE);
    request.codec.keep = false;
    request.codec.framing = (struct framing){BODY_NONE, 0};
    peer_reset(&p, &request.codec);
    peer_play(&p, bytes_of(&answer_1, space), 1, 3, false);
    assert_int_equal(p.result->verdict, COMPLETE);
    peer_fini(&p);
}

/* Splicing: only content of STDOUT, of which the codec knows how much there is. */
static void test_plain_bytes(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char space[256];
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    const struct row head = {.records = {OUT("X: y\n\n"), RAW("\1\6\0\1\377\377\5\0ab")}};
    peer_play(&p, bytes_of(&head, space), 1000, 1, false);
    assert_int_equal(p.codec->plain_left(p.state), 65533);
    p.codec->plain_taken(p.state, 65000);
    assert_int_equal(p.codec->plain_left(p.state), 533);
    p.codec->plain_taken(p.state, 533);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    const struct row rest = {.records = {RAW("PPPPP"), ERR("e"), OUT("cd"), END}};
    peer_play(&p, bytes_of(&rest, space), 1, 1, false);
    assert_int_equal(p.result->verdict, KEPT);
    assert_int_equal(p.result->body_n, 4);
    peer_fini(&p);
}

static void test_plain_bytes_end_with_the_length(void **state)
{
    (void)state;
    struct peer p;
    struct test_request request;
    char space[256];
    peer_init(&p, &fcgi_back_codec);
    request_init(&request, METHOD_GET);
    peer_reset(&p, &request.codec);
    const struct row head = {
        .records = {OUT("Content-Length: 10\n\n"), RAW("\1\6\0\1\0\24\0\0ab")}};
    peer_play(&p, bytes_of(&head, space), 1000, 1, false);
    assert_int_equal(p.codec->plain_left(p.state), 8);
    p.codec->plain_taken(p.state, 8);
    assert_int_equal(p.codec->plain_left(p.state), 0);
    peer_play(&p, SLICE("excessexce"), 1, 1, false);
    const struct row rest = {.records = {END}};
    peer_play(&p, bytes_of(&rest, space), 1, 1, false);
    assert_int_equal(p.result->verdict, KEPT);
    peer_fini(&p);
}

/* ---- values ---- */

static void test_get_values(void **state)
{
    (void)state;
    struct peer p;
    peer_init(&p, &fcgi_back_codec);
    fcgi_put_get_values(&p.out);
    peer_assert_bytes(peer_written(&p),
                      SLICE("\1\11\0\0\0\60\0\0"
                            "\16\0FCGI_MAX_CONNS\15\0FCGI_MAX_REQS\17\0FCGI_MPXS_CONNS"));
    peer_fini(&p);
}

static void test_values_are_read(void **state)
{
    (void)state;
    struct fcgi_values values;
    struct fault f;
    static const struct slice answer =
        SLICE_INIT("\1\12\0\0\0\65\3\0"
                   "\16\2FCGI_MAX_CONNS16\15\2FCGI_MAX_REQS32\17\1FCGI_MPXS_CONNS1PPP");
    for (size_t n = 0; n < answer.n; n++) {
        struct slice in = slice_first(answer, n);
        assert_int_equal(fcgi_read_values(&in, &values, &f), PARSE_MORE);
        assert_int_equal(in.n, n);
    }
    struct slice in = answer;
    assert_int_equal(fcgi_read_values(&in, &values, &f), PARSE_DONE);
    assert_int_equal(in.n, 0);
    assert_int_equal(values.max_conns, 16);
    assert_int_equal(values.max_requests, 32);
    assert_true(values.multiplexes);
}

static void test_odd_values(void **state)
{
    (void)state;
    static const struct {
        struct slice bytes;
        enum parse verdict;
    } answers[] = {
        {SLICE_INIT("\1\13\0\0\0\10\0\0\11\0\0\0\0\0\0\0"), PARSE_DONE}, /* UNKNOWN_TYPE */
        {SLICE_INIT("\1\12\0\0\0\0\0\0"), PARSE_DONE},
        {SLICE_INIT("\1\12\0\0\0\4\0\0\1\1XY"), PARSE_DONE},
        {SLICE_INIT("\1\12\0\0\0\1\0\0\1"), PARSE_BAD},
        {SLICE_INIT("\1\12\0\0\0\3\0\0\1\1X"), PARSE_BAD},
        {SLICE_INIT("\1\12\0\0\0\4\0\0\377\377\377\377"), PARSE_BAD},
        {SLICE_INIT("\1\12\0\0\0\2\0\0\200\0"), PARSE_BAD},
        {SLICE_INIT("\1\12\0\1\0\0\0\0"), PARSE_BAD},
        {SLICE_INIT("\2\12\0\0\0\0\0\0"), PARSE_BAD},
        {SLICE_INIT("\1\6\0\0\0\0\0\0"), PARSE_BAD},
        {SLICE_INIT("HTTP/1.1"), PARSE_BAD},
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct fcgi_values values;
        struct fault f;
        struct slice in = answers[i].bytes;
        assert_int_equal(fcgi_read_values(&in, &values, &f), answers[i].verdict);
        assert_int_equal(values.max_conns, 0);
        assert_false(values.multiplexes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_large_records),
        cmocka_unit_test(test_endless_excess_ends),
        cmocka_unit_test(test_request_bytes),
        cmocka_unit_test(test_params_beyond_a_record),
        cmocka_unit_test(test_long_names_and_values_have_long_lengths),
        cmocka_unit_test(test_body_in_records),
        cmocka_unit_test(test_authorizer_gets_no_body),
        cmocka_unit_test(test_requests_follow_each_other),
        cmocka_unit_test(test_late_record_is_no_answer),
        cmocka_unit_test(test_not_kept_before_all_is_sent),
        cmocka_unit_test(test_plain_bytes),
        cmocka_unit_test(test_plain_bytes_end_with_the_length),
        cmocka_unit_test(test_get_values),
        cmocka_unit_test(test_values_are_read),
        cmocka_unit_test(test_odd_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
