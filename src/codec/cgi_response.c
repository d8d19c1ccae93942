/* SPDX-License-Identifier: MIT */
#include "codec/cgi_response.h"

#include "http/status.h"

enum { HELD_FIRST = 1024 };

void cgi_reader_init(struct cgi_reader *r, enum method method)
{
    *r = (struct cgi_reader){.at = CGI_AT_HEAD, .method = method};
}

enum codec_event cgi_bad(struct codec_result *result, const char *what, const char *rule)
{
    result->fault = (struct fault){.status = 502, .what = what, .rule = rule};
    return CODEC_BAD;
}

/* ---- head ---- */

static void hold(struct cgi_reader *r, struct slice piece, struct arena *a)
{
    size_t n = r->held_n + piece.n;
    if (n > r->held_cap) {
        r->held_cap = n * 2 > HELD_FIRST ? n * 2 : HELD_FIRST;
        char *held = arena_alloc(a, r->held_cap);
        if (r->held_n)
            memcpy(held, r->held, r->held_n);
        r->held = held;
    }
    memcpy(r->held + r->held_n, piece.p, piece.n);
    r->held_n = n;
}

static void take_piece(struct slice *in, size_t n)
{
    *in = slice_skip(*in, n);
}

/* Puts a head together that comes in pieces. One byte more than the limit tells that it is too
 * large. */
static enum parse take_pieces(struct cgi_reader *r, struct slice *in, size_t limit, struct arena *a,
                              struct slice *head)
{
    size_t before = r->held_n, end;
    struct slice piece = slice_first(*in, limit + 1 - before);
    hold(r, piece, a);
    if (head_find_end(slice_of(r->held, r->held_n), &r->scanned, &end) != PARSE_DONE) {
        take_piece(in, piece.n);
        return r->held_n > limit ? PARSE_BAD : PARSE_MORE;
    }
    take_piece(in, end - before);
    *head = slice_of(r->held, end);
    return PARSE_DONE;
}

/* Most heads come whole and are copied once. */
static enum parse take_head(struct cgi_reader *r, struct slice *in, size_t limit, struct arena *a,
                            struct slice *head)
{
    size_t end;
    if (in->n == 0)
        return PARSE_MORE;
    if (r->held_n || head_find_end(*in, &r->scanned, &end) != PARSE_DONE)
        return take_pieces(r, in, limit, a, head);
    if (end > limit)
        return PARSE_BAD;
    *head = arena_dup(a, slice_first(*in, end));
    take_piece(in, end);
    return PARSE_DONE;
}

static enum codec_event start_body(struct cgi_reader *r, struct codec_result *result)
{
    const struct framing *framing = &result->framing;
    if (framing->kind == BODY_TUNNEL)
        return cgi_bad(result, "switched protocols unasked", "RFC 9110 15.2.2");
    if (result->response->status / 100 == 1) {
        uint32_t interims = r->interims + 1;
        if (interims > INTERIMS_MAX)
            return cgi_bad(result, "too many interim responses", "RFC 9110 15.2");
        cgi_reader_init(r, r->method);
        r->interims = interims;
        return CODEC_HEAD;
    }
    r->framing = *framing;
    r->left = framing->kind == BODY_LENGTH ? framing->length : 0;
    bool empty = framing->kind == BODY_NONE || (framing->kind == BODY_LENGTH && r->left == 0);
    r->at = empty ? CGI_AT_END : CGI_AT_BODY;
    return CODEC_HEAD;
}

/* Programs that only say "Status: 404" mean no empty reason. What may become a local redirect stays
 * as it came. */
static void add_reason(struct response_head *head)
{
    struct slice location;
    if (head->reason.n == 0 && !cgi_is_local_redirect(head, &location))
        head->reason = slice_str(status_reason(head->status));
}

static enum codec_event read_head(struct cgi_reader *r, struct slice *in,
                                  const struct head_limits *limits, struct arena *a,
                                  struct codec_result *result)
{
    struct slice head;
    struct response_head *response = result->response;
    switch (take_head(r, in, limits->head_bytes, a, &head)) {
    case PARSE_MORE: return CODEC_MORE;
    case PARSE_BAD: return cgi_bad(result, "head is larger than the limit", "RFC 3875 6.2");
    case PARSE_DONE: break;
    }
    if (response_head_parse(head, RESPONSE_CGI, limits, a, response, &result->fault) != PARSE_DONE)
        return CODEC_BAD;
    fields_drop(&response->fields, FIELD_TRANSFER_ENCODING);
    if (framing_of_response(response, r->method, &result->framing, &result->fault) != PARSE_DONE)
        return CODEC_BAD;
    add_reason(response);
    return start_body(r, result);
}

/* ---- body ---- */

static enum codec_event ended(struct codec_result *result)
{
    result->trailers = (struct fields){0};
    return CODEC_END;
}

void cgi_plain_taken(struct cgi_reader *r, uint64_t n)
{
    if (r->framing.kind != BODY_LENGTH)
        return;
    r->left -= n;
    if (r->left == 0)
        r->at = CGI_AT_END;
}

static enum codec_event read_body(struct cgi_reader *r, struct slice *in,
                                  struct codec_result *result)
{
    uint64_t most = cgi_plain_left(r);
    if (in->n == 0)
        return CODEC_MORE;
    result->data = slice_first(*in, most < in->n ? (size_t)most : in->n);
    *in = slice_skip(*in, result->data.n);
    cgi_plain_taken(r, result->data.n);
    return CODEC_DATA;
}

enum codec_event cgi_read(struct cgi_reader *r, struct slice *in, const struct head_limits *limits,
                          struct arena *a, struct codec_result *result)
{
    switch (r->at) {
    case CGI_AT_HEAD: return read_head(r, in, limits, a, result);
    case CGI_AT_BODY: return read_body(r, in, result);
    case CGI_AT_END: break;
    }
    return ended(result);
}

enum codec_event cgi_read_end(struct cgi_reader *r, struct codec_result *result)
{
    if (r->at == CGI_AT_HEAD)
        return cgi_bad(result, "response ended before the end of its head", "RFC 3875 6.2");
    if (r->at == CGI_AT_BODY && r->framing.kind == BODY_LENGTH)
        return cgi_bad(result, "response is shorter than its Content-Length", "RFC 9110 8.6");
    r->at = CGI_AT_END;
    return ended(result);
}

/* RFC 3875 6.3.2: local-pathquery = abs-path [ "?" query-string ]. "//host/" is left to the client,
 * which takes it for a host, and so is a fragment. */
bool cgi_is_local_redirect(const struct response_head *head, struct slice *location)
{
    const struct fields *fields = &head->fields;
    bool bare = head->status == 302 && head->reason.n == 0 && fields->n == 1;
    if (!bare || fields->v[0].id != FIELD_LOCATION)
        return false;
    *location = fields->v[0].value;
    bool is_path = slice_starts(*location, SLICE("/")) && !slice_starts(*location, SLICE("//")) &&
                   slice_find(*location, '#') == location->n;
    if (!is_path)
        *location = SLICE_NONE;
    return is_path;
}
