/* SPDX-License-Identifier: MIT */
#include "codec/h1.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "http/status.h"

/* ---- reading ---- */

void h1_reader_init(struct h1_reader *r)
{
    r->at = H1_HEAD;
    r->scanned = 0;
    r->skipped = false;
    r->interims = 0;
}

static enum codec_event bad(struct codec_result *result, uint16_t status, const char *what,
                            const char *rule)
{
    result->fault = (struct fault){.status = status, .what = what, .rule = rule};
    return CODEC_BAD;
}

static void start_body(struct h1_reader *r, const struct framing *framing)
{
    r->kind = framing->kind;
    if (framing->kind == BODY_LENGTH)
        r->left = framing->length;
    if (framing->kind == BODY_CHUNKED)
        chunked_init(&r->chunked);
    bool empty = framing->kind == BODY_NONE || (framing->kind == BODY_LENGTH && r->left == 0);
    r->at = empty ? H1_END : H1_BODY;
}

/* Takes a complete head off *in into the arena; CODEC_HEAD, CODEC_MORE or CODEC_BAD. */
static enum codec_event take_head(struct h1_reader *r, struct slice *in,
                                  const struct head_limits *limits, struct arena *a,
                                  struct slice *head, struct codec_result *result)
{
    size_t end;
    enum parse found = head_find_end(*in, &r->scanned, &end);
    struct slice seen = found == PARSE_DONE ? slice_first(*in, end) : *in;
    if (head_check_size(seen, limits, &result->fault) == PARSE_BAD)
        return CODEC_BAD;
    if (found != PARSE_DONE)
        return CODEC_MORE;
    *head = arena_dup(a, slice_first(*in, end));
    *in = slice_skip(*in, end);
    return CODEC_HEAD;
}

/* Takes off one empty line in front of a request (RFC 9112 2.2). False: it may be one, more bytes
 * will tell. */
static bool skip_empty_line(struct h1_reader *r, struct slice *in)
{
    if (r->skipped || in->n == 0 || in->p[0] != '\r')
        return true;
    if (in->n == 1)
        return false;
    r->skipped = true;
    if (in->p[1] == '\n')
        *in = slice_skip(*in, 2);
    return true;
}

enum codec_event h1_read_request(struct h1_reader *r, struct slice *in,
                                 const struct head_limits *limits, struct arena *a,
                                 struct request_head *out, struct codec_result *result)
{
    struct slice head;
    if (!skip_empty_line(r, in))
        return CODEC_MORE;
    /* What cannot become a method is refused now: a TLS hello has no line end to wait for. */
    if (in->n && (unsigned char)in->p[0] <= ' ' && in->p[0] != '\r')
        return bad(result, 400, "request line does not begin with a method", "RFC 9112 3.1");
    if (in->n && (unsigned char)in->p[0] >= 0x7f)
        return bad(result, 400, "request line does not begin with a method", "RFC 9112 3.1");
    enum codec_event event = take_head(r, in, limits, a, &head, result);
    if (event != CODEC_HEAD)
        return event;
    if (request_head_parse(head, limits, a, out, &result->fault) != PARSE_DONE ||
        framing_of_request(out, &result->framing, &result->fault) != PARSE_DONE)
        return CODEC_BAD;
    start_body(r, &result->framing);
    return CODEC_HEAD;
}

enum codec_event h1_read_response(struct h1_reader *r, struct slice *in, enum method method,
                                  const struct head_limits *limits, struct arena *a,
                                  struct codec_result *result)
{
    struct slice head;
    enum codec_event event = take_head(r, in, limits, a, &head, result);
    if (event == CODEC_BAD)
        result->fault.status = 502;
    if (event != CODEC_HEAD)
        return event;
    if (response_head_parse(head, RESPONSE_STATUS_LINE, limits, a, result->response,
                            &result->fault) != PARSE_DONE ||
        framing_of_response(result->response, method, &result->framing, &result->fault) !=
            PARSE_DONE)
        return CODEC_BAD;
    bool is_interim = result->response->status / 100 == 1 && result->framing.kind != BODY_TUNNEL;
    if (is_interim && ++r->interims > INTERIMS_MAX)
        return bad(result, 502, "too many interim responses", "RFC 9110 15.2");
    if (is_interim)
        r->scanned = 0; /* another head follows */
    else
        start_body(r, &result->framing);
    return CODEC_HEAD;
}

static enum codec_event ended(struct h1_reader *r, struct codec_result *result)
{
    r->at = H1_END;
    result->trailers = (struct fields){0};
    return CODEC_END;
}

static enum codec_event read_length(struct h1_reader *r, struct slice *in,
                                    struct codec_result *result)
{
    if (r->left == 0)
        return ended(r, result);
    if (in->n == 0)
        return CODEC_MORE;
    result->data = slice_first(*in, r->left < in->n ? (size_t)r->left : in->n);
    *in = slice_skip(*in, result->data.n);
    r->left -= result->data.n;
    return CODEC_DATA;
}

static enum codec_event read_chunked(struct h1_reader *r, struct slice *in,
                                     const struct head_limits *limits, struct arena *a,
                                     struct codec_result *result)
{
    struct slice trailers;
    switch (chunked_feed(&r->chunked, in, &result->data, &trailers, limits, &result->fault)) {
    case PARSE_MORE: return result->data.n ? CODEC_DATA : CODEC_MORE;
    case PARSE_BAD: return CODEC_BAD;
    case PARSE_DONE: break;
    }
    result->trailers = (struct fields){0};
    if (trailers.n > 2 && trailers_parse(arena_dup(a, trailers), limits, a, &result->trailers,
                                         &result->fault) != PARSE_DONE)
        return CODEC_BAD;
    r->at = H1_END;
    return CODEC_END;
}

static enum codec_event read_rest(struct slice *in, struct codec_result *result)
{
    if (in->n == 0)
        return CODEC_MORE;
    result->data = *in;
    *in = slice_skip(*in, in->n);
    return CODEC_DATA;
}

enum codec_event h1_read_body(struct h1_reader *r, struct slice *in,
                              const struct head_limits *limits, struct arena *a,
                              struct codec_result *result)
{
    if (r->at == H1_END)
        return ended(r, result);
    switch (r->kind) {
    case BODY_NONE: break;
    case BODY_LENGTH: return read_length(r, in, result);
    case BODY_CHUNKED: return read_chunked(r, in, limits, a, result);
    case BODY_CLOSE:
    case BODY_TUNNEL: return read_rest(in, result);
    }
    return ended(r, result);
}

enum codec_event h1_read_eof(struct h1_reader *r, struct codec_result *result)
{
    if (r->at == H1_HEAD)
        return bad(result, 502, "connection closed before the end of a head", "RFC 9112 8");
    bool until_close = r->kind == BODY_CLOSE || r->kind == BODY_TUNNEL;
    if (r->at == H1_END || until_close)
        return ended(r, result);
    return bad(result, 502, "connection closed inside a body", "RFC 9112 8");
}

uint64_t h1_plain_left(const struct h1_reader *r)
{
    if (r->at != H1_BODY)
        return 0;
    if (r->kind == BODY_CLOSE || r->kind == BODY_TUNNEL)
        return UINT64_MAX;
    return r->kind == BODY_LENGTH ? r->left : chunked_plain_left(&r->chunked);
}

void h1_plain_taken(struct h1_reader *r, uint64_t n)
{
    if (r->kind == BODY_LENGTH)
        r->left -= n;
    else if (r->kind == BODY_CHUNKED)
        chunked_plain_taken(&r->chunked, n);
}

/* ---- writing ---- */

/* Bytes are written with a cursor into space that was measured and reserved before. */
#define PUT(p, literal) slice_put((p), SLICE(literal))

static size_t measure_fields(const struct fields *fields)
{
    size_t n = 0;
    for (unsigned i = 0; i < fields->n; i++)
        n += fields->v[i].name.n + fields->v[i].value.n + 4;
    return n;
}

static char *put_field(char *p, struct slice name, struct slice value)
{
    p = slice_put(p, name);
    *p++ = ':';
    *p++ = ' ';
    p = slice_put(p, value);
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static char *put_fields(char *p, const struct fields *fields)
{
    for (unsigned i = 0; i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        if (!f->dropped)
            p = put_field(p, f->name, f->value);
    }
    return p;
}

/* Where a head is written: the chain's tail, or, for one larger than any buf, memory of its own
 * that is copied into the chain piece by piece. */
struct head_space {
    struct chain *out;
    char *start;
    bool is_own;
};

static char *open_head(struct head_space *space, struct chain *out, size_t n)
{
    bool is_own = n > BUF_LARGE;
    *space = (struct head_space){out, is_own ? mem_alloc(n) : chain_reserve(out, n), is_own};
    return space->start;
}

static void close_head(struct head_space *space, char *end)
{
    size_t n = (size_t)(end - space->start);
    if (!space->is_own) {
        chain_commit(space->out, n);
        return;
    }
    chain_copy(space->out, slice_of(space->start, n));
    free(space->start);
}

static void writer_init(struct h1_writer *w, const struct framing *framing)
{
    w->kind = framing->kind;
    w->left = framing->kind == BODY_LENGTH ? framing->length : 0;
}

enum { EXTRA_BYTES = 256 }; /* start line's fixed parts and the fields written here */

void h1_put_request(struct h1_writer *w, const struct codec_request *request, struct chain *out)
{
    const struct request_head *head = request->head;
    struct head_space space;
    char *p = open_head(&space, out,
                        head->method_text.n + request->target.n + request->host.n +
                            request->upgrade.n + measure_fields(&head->fields) + EXTRA_BYTES);
    p = slice_put(p, head->method_text);
    *p++ = ' ';
    p = slice_put(p, request->target);
    p = PUT(p, " HTTP/1.1\r\n");
    p = put_field(p, SLICE("Host"), request->host);
    p = put_fields(p, &head->fields);
    if (request->framing.kind == BODY_CHUNKED)
        p = PUT(p, "Transfer-Encoding: chunked\r\n");
    if (request->upgrade.n) {
        p = PUT(p, "Connection: upgrade\r\n");
        p = put_field(p, SLICE("Upgrade"), request->upgrade);
    }
    p = PUT(p, "\r\n");
    close_head(&space, p);
    writer_init(w, &request->framing);
}

static char *put_status_line(char *p, uint16_t status, struct slice reason)
{
    p = PUT(p, "HTTP/1.1 ");
    p += num_put_dec(p, status);
    *p++ = ' ';
    p = slice_put(p, reason);
    return PUT(p, "\r\n");
}

static char *put_connection(char *p, const struct h1_response *response)
{
    if (response->upgrade.n) {
        p = PUT(p, "Connection: upgrade\r\n");
        return put_field(p, SLICE("Upgrade"), response->upgrade);
    }
    if (response->close)
        return PUT(p, "Connection: close\r\n");
    return response->keep_alive ? PUT(p, "Connection: keep-alive\r\n") : p;
}

/* A backend that speaks in frames need not have said it: its stream ended with the head. */
static char *put_length(char *p, const struct h1_response *response)
{
    char digits[NUM_DEC_MAX];
    if (response->framing.kind != BODY_LENGTH ||
        fields_find(&response->head->fields, FIELD_CONTENT_LENGTH))
        return p;
    size_t n = num_put_dec(digits, response->framing.length);
    return put_field(p, SLICE("Content-Length"), slice_of(digits, n));
}

void h1_put_response(struct h1_writer *w, const struct h1_response *response, struct chain *out)
{
    const struct response_head *head = response->head;
    struct head_space space;
    char *p = open_head(&space, out,
                        head->reason.n + response->upgrade.n + measure_fields(&head->fields) +
                            EXTRA_BYTES);
    p = put_status_line(p, head->status, head->reason);
    p = put_fields(p, &head->fields);
    if (response->date.n)
        p = put_field(p, SLICE("Date"), response->date);
    if (response->framing.kind == BODY_CHUNKED)
        p = PUT(p, "Transfer-Encoding: chunked\r\n");
    p = put_length(p, response);
    p = put_connection(p, response);
    p = PUT(p, "\r\n");
    close_head(&space, p);
    writer_init(w, &response->framing);
}

void h1_put_interim(const struct response_head *head, struct chain *out)
{
    struct head_space space;
    char *p = open_head(&space, out, head->reason.n + measure_fields(&head->fields) + EXTRA_BYTES);
    p = put_status_line(p, head->status, head->reason);
    p = put_fields(p, &head->fields);
    p = PUT(p, "\r\n");
    close_head(&space, p);
}

static void put_chunk(struct chain *body, struct chain *out)
{
    char *line = chain_reserve(out, CHUNKED_LINE_MAX);
    chain_commit(out, chunked_put_line(line, body->bytes));
    chain_move(out, body, body->bytes);
    chain_copy(out, SLICE("\r\n"));
}

void h1_put_body(struct h1_writer *w, struct chain *body, struct chain *out)
{
    if (chain_is_empty(body))
        return;
    switch (w->kind) {
    case BODY_NONE: chain_clear(body); return;
    case BODY_LENGTH: w->left -= chain_move(out, body, w->left); return;
    case BODY_CHUNKED: put_chunk(body, out); return;
    case BODY_CLOSE:
    case BODY_TUNNEL: chain_move(out, body, body->bytes); return;
    }
}

static void put_last_chunk(const struct fields *trailers, struct chain *out)
{
    size_t n = trailers ? measure_fields(trailers) : 0;
    struct head_space space;
    char *p = open_head(&space, out, n + 8);
    p = PUT(p, "0\r\n");
    if (n)
        p = put_fields(p, trailers);
    p = PUT(p, "\r\n");
    close_head(&space, p);
}

bool h1_put_end(struct h1_writer *w, const struct fields *trailers, struct chain *out)
{
    if (w->kind == BODY_CHUNKED)
        put_last_chunk(trailers, out);
    return w->kind != BODY_LENGTH || w->left == 0;
}
