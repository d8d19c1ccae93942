/* SPDX-License-Identifier: MIT */
#include "codec/fcgi.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "codec/cgi_env.h"
#include "codec/cgi_response.h"
#include "codec/fcgi_internal.h"

enum {
    VERSION = FCGI_VERSION,
    HEADER_BYTES = FCGI_HEADER_BYTES,
    CONTENT_MAX = 65535,
    STDIN_MAX = 65528, /* a multiple of 8: the next header is aligned without padding */
    END_BYTES = FCGI_END_BYTES,
    KEEP_CONN = 1,
    /* Lines of STDERR are logged whole when their record is at most this large. The reader of a
     * connection must have so many bytes of room. */
    WHOLE_MAX = 8192,
    /* So much of a body that nobody asked for is read so that the connection can be kept. */
    DRAIN_MAX = 64 * 1024,
};

struct record {
    uint8_t type;
    uint8_t padding; /* bytes to come behind the content */
    uint16_t id;
    uint32_t left; /* of the content */
};

/* Of the one request that is under way. */
struct lane {
    uint16_t id;
    enum cgi_role role;
    /* STDOUT_ENDED: its empty record has come. ENDED: END_REQUEST has. GIVEN_UP: the response is
     * complete and what comes behind it too much to wait for the end of. */
    enum { OPEN, STDOUT_ENDED, ENDED, GIVEN_UP } at;
    struct cgi_reader reader;
    bool keep, sent_all;
    bool cut_logged;
    uint8_t protocol_status;
    uint32_t drained;
};

struct fcgi {
    uint16_t mux_id; /* 0: requests follow each other */
    struct lane lane;
    enum { AT_HEADER, AT_CONTENT } at;
    struct record record; /* AT_CONTENT: the one under way */
};

/* ---- writing ---- */

static char *put_header(char *p, enum fcgi_type type, uint16_t id, size_t content)
{
    *p++ = VERSION;
    *p++ = (char)type;
    *p++ = (char)(id >> 8);
    *p++ = (char)id;
    *p++ = (char)(content >> 8);
    *p++ = (char)content;
    *p++ = 0;
    *p++ = 0;
    return p;
}

static char *put_begin(char *p, const struct lane *lane)
{
    bool authorizer = lane->role == CGI_AUTHORIZER;
    p = put_header(p, BEGIN_REQUEST, lane->id, END_BYTES);
    *p++ = 0;
    *p++ = authorizer ? 2 : 1; /* FCGI_AUTHORIZER, FCGI_RESPONDER */
    *p++ = lane->keep ? KEEP_CONN : 0;
    memset(p, 0, 5);
    return p + 5;
}

enum { BEGIN_BYTES = 2 * HEADER_BYTES, AROUND_BYTES = BEGIN_BYTES + 2 * HEADER_BYTES };

/* All in one piece, as nearly every request is. */
static void put_request(const struct lane *lane, const struct cgi_env *env, size_t bound,
                        struct chain *out)
{
    char *start = chain_reserve(out, bound + AROUND_BYTES);
    char *header = put_begin(start, lane);
    char *params = header + HEADER_BYTES;
    char *p = cgi_env_put(env, params);
    put_header(header, PARAMS, lane->id, (size_t)(p - params));
    p = put_header(p, PARAMS, lane->id, 0);
    assert((size_t)(p - start) <= bound + AROUND_BYTES);
    chain_commit(out, (size_t)(p - start));
}

void fcgi_copy_header(struct chain *out, enum fcgi_type type, uint16_t id, size_t content)
{
    char *p = chain_reserve(out, HEADER_BYTES);
    put_header(p, type, id, content);
    chain_commit(out, HEADER_BYTES);
}

/* The parameters are a stream: pairs may begin in one record and end in another (FastCGI 3.3). */
static void put_large_request(const struct lane *lane, const struct cgi_env *env, size_t bound,
                              struct chain *out)
{
    char *own = mem_alloc(bound);
    struct slice params = slice_of(own, (size_t)(cgi_env_put(env, own) - own));
    put_begin(chain_reserve(out, BEGIN_BYTES), lane);
    chain_commit(out, BEGIN_BYTES);
    while (params.n) {
        struct slice piece = slice_first(params, STDIN_MAX);
        fcgi_copy_header(out, PARAMS, lane->id, piece.n);
        chain_copy(out, piece);
        params = slice_skip(params, piece.n);
    }
    fcgi_copy_header(out, PARAMS, lane->id, 0);
    free(own);
}

static void back_begin(void *state, const struct codec_request *request, struct chain *out)
{
    struct fcgi *f = state;
    struct cgi_env env;
    f->at = AT_HEADER;
    f->lane = (struct lane){
        .id = f->mux_id         ? f->mux_id
              : f->lane.id == 1 ? 2
                                : 1,
        .role = request->cgi->role,
        .keep = request->keep || f->mux_id,
    };
    cgi_reader_init(&f->lane.reader, request->head->method);
    cgi_env_init(&env, CGI_PAIRS, request);
    size_t bound = cgi_env_bound(&env);
    if (bound <= CONTENT_MAX)
        put_request(&f->lane, &env, bound, out);
    else
        put_large_request(&f->lane, &env, bound, out);
}

void fcgi_set_lane(void *state, uint16_t id)
{
    struct fcgi *f = state;
    f->mux_id = id;
}

static void back_put_body(void *state, struct chain *body, struct chain *out)
{
    const struct fcgi *f = state;
    if (f->lane.role == CGI_AUTHORIZER)
        chain_clear(body);
    while (!chain_is_empty(body)) {
        size_t n = body->bytes < STDIN_MAX ? body->bytes : STDIN_MAX;
        fcgi_copy_header(out, STDIN, f->lane.id, n);
        size_t moved = chain_move(out, body, n);
        assert(moved == n); /* no pipe is in it, for back_is_plain_out() says no */
    }
}

static void back_put_end(void *state, const struct fields *trailers, struct chain *out)
{
    struct fcgi *f = state;
    (void)trailers;
    f->lane.sent_all = true;
    if (f->lane.role != CGI_AUTHORIZER)
        fcgi_copy_header(out, STDIN, f->lane.id, 0);
}

static bool back_is_plain_out(const void *state)
{
    (void)state;
    return false;
}

/* ---- reading ---- */

/* What a record handler may need besides the record. */
struct feed {
    const struct head_limits *limits;
    struct arena *arena;
    struct codec_result *result;
};

/* Takes from the front of *content, which is what is there of the record's. CODEC_MORE: go on, with
 * the next record when this one is used up. */
typedef enum codec_event record_fn(struct fcgi *f, struct slice *content, const struct feed *feed);
static record_fn on_stdout, on_stderr, on_end, on_ignored;

static const struct {
    record_fn *take; /* NULL: no application sends it */
    bool management; /* its request id is 0 */
} records[TYPES] = {
    [END_REQUEST] = {on_end, false},     [STDOUT] = {on_stdout, false},
    [STDERR] = {on_stderr, false},       [GET_VALUES_RESULT] = {on_ignored, true},
    [UNKNOWN_TYPE] = {on_ignored, true},
};

/* The part of a body behind its end: of an answer to HEAD, or beyond Content-Length, as scripts
 * that end in an empty line send it. */
static enum codec_event drop_rest(struct lane *lane, struct slice *content, const struct feed *feed)
{
    bool excess = lane->reader.framing.kind == BODY_LENGTH && content->n && !lane->cut_logged;
    lane->drained += (uint32_t)content->n;
    *content = slice_skip(*content, content->n);
    if (lane->drained > DRAIN_MAX)
        lane->at = GIVEN_UP;
    if (!excess)
        return CODEC_MORE;
    lane->cut_logged = true;
    feed->result->data = SLICE("response is longer than its Content-Length and was cut off there");
    return CODEC_LOG;
}

static enum codec_event on_stdout(struct fcgi *f, struct slice *content, const struct feed *feed)
{
    struct lane *lane = &f->lane;
    if (lane->reader.at == CGI_AT_END)
        return drop_rest(lane, content, feed);
    return cgi_read(&lane->reader, content, feed->limits, feed->arena, feed->result);
}

/* In pieces that do not depend on how the bytes come: all of a record if it is small. */
static enum codec_event on_stderr(struct fcgi *f, struct slice *content, const struct feed *feed)
{
    size_t piece = f->record.left < WHOLE_MAX ? f->record.left : WHOLE_MAX;
    if (piece == 0 || content->n < piece)
        return CODEC_MORE;
    feed->result->data = slice_first(*content, piece);
    *content = slice_skip(*content, piece);
    return CODEC_LOG;
}

static uint32_t read_be32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* FastCGI 5.5: appStatus, protocolStatus, reserved. */
static enum codec_event on_end(struct fcgi *f, struct slice *content, const struct feed *feed)
{
    if (content->n < END_BYTES)
        return CODEC_MORE;
    uint32_t app_status = read_be32(content->p);
    f->lane.protocol_status = (uint8_t)content->p[4];
    f->lane.at = ENDED;
    *content = slice_skip(*content, END_BYTES);
    if (app_status == 0)
        return CODEC_MORE;
    feed->result->data = arena_printf(feed->arena, "application ended with status %u", app_status);
    return CODEC_LOG;
}

static enum codec_event on_ignored(struct fcgi *f, struct slice *content, const struct feed *feed)
{
    (void)f;
    (void)feed;
    *content = slice_skip(*content, content->n);
    return CODEC_MORE;
}

static const char *misfit(const struct fcgi *f, uint8_t version, const struct record *r)
{
    if (version != VERSION)
        return "record of an unknown version";
    if (r->type >= TYPES || !records[r->type].take)
        return "record of a type that no application sends";
    if (r->id != (records[r->type].management ? 0 : f->lane.id))
        return "record of a request that is not ours";
    if (r->type == END_REQUEST && r->left != END_BYTES)
        return "END_REQUEST of a wrong length";
    if (r->type == STDOUT && r->left && f->lane.at == STDOUT_ENDED)
        return "STDOUT after its end";
    return NULL;
}

static enum codec_event open_record(struct fcgi *f, struct slice *in, struct codec_result *result)
{
    const unsigned char *u = (const unsigned char *)in->p;
    f->record = (struct record){
        .type = u[1],
        .id = (uint16_t)(u[2] << 8 | u[3]),
        .left = (uint32_t)u[4] << 8 | u[5],
        .padding = u[6],
    };
    const char *what = misfit(f, u[0], &f->record);
    if (what)
        return cgi_bad(result, what, "FastCGI 3.3");
    if (f->record.type == STDOUT && f->record.left == 0)
        f->lane.at = STDOUT_ENDED;
    f->at = AT_CONTENT;
    *in = slice_skip(*in, HEADER_BYTES);
    return CODEC_MORE;
}

/* Takes the padding behind a record; what is missing of it is waited for before the next one. */
static void skip_padding(struct fcgi *f, struct slice *in)
{
    size_t n = f->record.padding < in->n ? f->record.padding : in->n;
    *in = slice_skip(*in, n);
    f->record.padding = (uint8_t)(f->record.padding - n);
    if (f->record.padding == 0)
        f->at = AT_HEADER;
}

static enum codec_event read_record(struct fcgi *f, struct slice *in, const struct feed *feed)
{
    struct slice content = slice_first(*in, f->record.left);
    size_t before = content.n;
    enum codec_event event = records[f->record.type].take(f, &content, feed);
    size_t taken = before - content.n;
    *in = slice_skip(*in, taken);
    f->record.left -= (uint32_t)taken;
    if (f->record.left == 0)
        skip_padding(f, in);
    return event;
}

/* FastCGI 5.5, 8: with each of these the application has not run. */
static enum codec_event refused(const struct lane *lane, struct codec_result *result)
{
    static const char *const what[] = {
        [CANT_MPX_CONN] = "application cannot multiplex (CANT_MPX_CONN)",
        [OVERLOADED] = "application is overloaded (OVERLOADED)",
        [UNKNOWN_ROLE] = "application does not know the role (UNKNOWN_ROLE)",
    };
    if (lane->protocol_status > UNKNOWN_ROLE)
        return cgi_bad(result, "END_REQUEST of an unknown status", "FastCGI 5.5");
    if (lane->reader.at != CGI_AT_HEAD || lane->reader.held_n)
        return cgi_bad(result, "request refused in the middle of a response", "FastCGI 5.5");
    result->fault = (struct fault){.status = lane->protocol_status == OVERLOADED ? 503 : 502,
                                   .what = what[lane->protocol_status],
                                   .rule = "FastCGI 5.5"};
    return CODEC_REFUSED;
}

static enum codec_event end_of(struct fcgi *f, struct codec_result *result)
{
    struct lane *lane = &f->lane;
    enum codec_event event = lane->protocol_status == REQUEST_COMPLETE
                                 ? cgi_read_end(&lane->reader, result)
                                 : refused(lane, result);
    lane->keep &= event == CODEC_END;
    return event;
}

/* With the padding of END_REQUEST, so that nothing of it is left for the next request. */
static bool is_over(const struct fcgi *f)
{
    return f->lane.at == GIVEN_UP || (f->lane.at == ENDED && f->at == AT_HEADER);
}

static enum codec_event back_feed(void *state, struct slice *in, const struct head_limits *limits,
                                  struct arena *a, struct codec_result *result)
{
    struct fcgi *f = state;
    const struct feed with = {limits, a, result};
    while (!is_over(f)) {
        bool opening = f->at == AT_HEADER;
        if (opening && in->n < HEADER_BYTES)
            return CODEC_MORE;
        enum codec_event event = opening ? open_record(f, in, result) : read_record(f, in, &with);
        bool waits = !opening && f->at == AT_CONTENT && !is_over(f);
        if (event != CODEC_MORE || waits)
            return event;
    }
    return end_of(f, result);
}

/* Closed without END_REQUEST: complete only if the response says so by itself. */
static enum codec_event back_eof(void *state, struct codec_result *result)
{
    struct fcgi *f = state;
    f->lane.keep = false;
    if (f->lane.at == ENDED || f->lane.reader.at == CGI_AT_END)
        return end_of(f, result);
    return cgi_bad(result, "connection closed without END_REQUEST", "FastCGI 5.5");
}

/* Content of a STDOUT record; its padding is not. */
static uint64_t back_plain_left(const void *state)
{
    const struct fcgi *f = state;
    if (f->at != AT_CONTENT || f->record.type != STDOUT)
        return 0;
    uint64_t left = cgi_plain_left(&f->lane.reader);
    return left < f->record.left ? left : f->record.left;
}

static void back_plain_taken(void *state, uint64_t n)
{
    struct fcgi *f = state;
    cgi_plain_taken(&f->lane.reader, n);
    f->record.left -= (uint32_t)n;
    if (f->record.left == 0 && f->record.padding == 0)
        f->at = AT_HEADER;
}

static bool back_is_reusable(const void *state)
{
    const struct fcgi *f = state;
    return f->lane.keep && f->lane.sent_all && f->lane.at == ENDED && f->at == AT_HEADER;
}

/* ---- values and variables ---- */

static const struct slice value_names[] = {
    SLICE_INIT("FCGI_MAX_CONNS"), SLICE_INIT("FCGI_MAX_REQS"), SLICE_INIT("FCGI_MPXS_CONNS")};
enum { VALUE_NAMES = sizeof(value_names) / sizeof(value_names[0]) };

void fcgi_put_get_values(struct chain *out)
{
    char *header = chain_reserve(out, 128);
    char *content = header + HEADER_BYTES, *p = content;
    for (unsigned i = 0; i < VALUE_NAMES; i++) {
        *p++ = (char)value_names[i].n;
        *p++ = 0;
        memcpy(p, value_names[i].p, value_names[i].n);
        p += value_names[i].n;
    }
    put_header(header, GET_VALUES, 0, (size_t)(p - content));
    chain_commit(out, (size_t)(p - header));
}

static bool take_length(struct slice *s, size_t *n)
{
    if (s->n == 0)
        return false;
    bool is_long = s->p[0] & 0x80;
    if (is_long && s->n < 4)
        return false;
    *n = is_long ? read_be32(s->p) & INT32_MAX : (unsigned char)s->p[0];
    *s = slice_skip(*s, is_long ? 4 : 1);
    return true;
}

bool fcgi_next_pair(struct slice *pairs, struct slice *name, struct slice *value)
{
    struct slice rest = *pairs;
    size_t name_n, value_n;
    if (!take_length(&rest, &name_n) || !take_length(&rest, &value_n) || rest.n < name_n ||
        rest.n - name_n < value_n)
        return false;
    *name = slice_first(rest, name_n);
    *value = slice_first(slice_skip(rest, name_n), value_n);
    *pairs = slice_skip(rest, name_n + value_n);
    return true;
}

static void set_value(struct fcgi_values *out, struct slice name, struct slice value)
{
    uint64_t n;
    if (!num_dec(value, &n) || n > UINT32_MAX)
        return;
    if (slice_eq(name, value_names[0]))
        out->max_conns = (uint32_t)n;
    else if (slice_eq(name, value_names[1]))
        out->max_requests = (uint32_t)n;
    else if (slice_eq(name, value_names[2]))
        out->multiplexes = n == 1;
}

enum parse fcgi_read_values(struct slice *in, struct fcgi_values *out, struct fault *f)
{
    *out = (struct fcgi_values){0};
    if (in->n < HEADER_BYTES)
        return PARSE_MORE;
    const unsigned char *u = (const unsigned char *)in->p;
    size_t content = (size_t)u[4] << 8 | u[5], whole = HEADER_BYTES + content + u[6];
    bool is_answer = u[1] == GET_VALUES_RESULT || u[1] == UNKNOWN_TYPE;
    if (u[0] != VERSION || !is_answer || u[2] || u[3])
        return fault_bad(f, 502, "no answer to GET_VALUES", "FastCGI 4.1");
    if (in->n < whole)
        return PARSE_MORE;
    struct slice pairs = slice_of(in->p + HEADER_BYTES, content), name, value;
    while (u[1] == GET_VALUES_RESULT && fcgi_next_pair(&pairs, &name, &value))
        set_value(out, name, value);
    if (u[1] == GET_VALUES_RESULT && pairs.n)
        return fault_bad(f, 502, "pair does not fit its record", "FastCGI 3.4");
    *in = slice_skip(*in, whole);
    return PARSE_DONE;
}

bool fcgi_is_variable(const struct field *field, struct slice *name)
{
    static const struct slice prefix = SLICE_INIT("Variable-");
    if (!slice_ieq(slice_first(field->name, prefix.n), prefix))
        return false;
    *name = slice_skip(field->name, prefix.n);
    return name->n > 0;
}

const struct back_codec fcgi_back_codec = {
    .name = "fastcgi",
    .state_bytes = sizeof(struct fcgi),
    .holds_process = true,
    .wants_cgi = true,
    .needs_length = true,
    .authorizes = true,
    .script_end = ".php",
    .check = cgi_env_check,
    .begin = back_begin,
    .put_body = back_put_body,
    .put_end = back_put_end,
    .feed = back_feed,
    .eof = back_eof,
    .plain_left = back_plain_left,
    .plain_taken = back_plain_taken,
    .is_plain_out = back_is_plain_out,
    .is_reusable = back_is_reusable,
    .mux = &fcgi_mux,
};
