/* HTTP/1.1 towards backends: the row of codecs.def.
 * SPDX-License-Identifier: MIT */
#include "codec/h1.h"

struct h1_back {
    struct h1_reader reader;
    struct h1_writer writer;
    enum method method;
    bool asked_upgrade;
    bool sent_all; /* the request is complete on our side */
    bool keep;     /* the response allows another request */
};

static void back_begin(void *state, const struct codec_request *request, struct chain *out)
{
    struct h1_back *b = state;
    h1_reader_init(&b->reader);
    b->method = request->head->method;
    b->asked_upgrade = request->upgrade.n > 0;
    b->sent_all = false;
    b->keep = false;
    h1_put_request(&b->writer, request, out);
}

static void back_put_body(void *state, struct chain *body, struct chain *out)
{
    struct h1_back *b = state;
    h1_put_body(&b->writer, body, out);
}

static void back_put_end(void *state, const struct fields *trailers, struct chain *out)
{
    struct h1_back *b = state;
    b->sent_all = h1_put_end(&b->writer, trailers, out);
}

/* RFC 9112 9.3: persistence is the default of 1.1 and must be asked for in 1.0. */
static bool wants_keep(const struct response_head *head)
{
    if (fields_has_token(&head->fields, FIELD_CONNECTION, SLICE("close")))
        return false;
    return head->minor >= 1 ||
           fields_has_token(&head->fields, FIELD_CONNECTION, SLICE("keep-alive"));
}

static enum codec_event check_head(struct h1_back *b, struct codec_result *result)
{
    const struct response_head *head = result->response;
    if (result->framing.kind == BODY_TUNNEL && !b->asked_upgrade) {
        result->fault = (struct fault){
            .status = 502, .what = "switched protocols unasked", .rule = "RFC 9110 15.2.2"};
        return CODEC_BAD;
    }
    if (result->framing.kind == BODY_TUNNEL)
        b->writer.kind = result->framing.kind;
    b->keep = wants_keep(head);
    return CODEC_HEAD;
}

/* What is a bad request from a client is a bad gateway from a backend (RFC 9110 15.6.3). */
static enum codec_event blame_backend(enum codec_event event, struct codec_result *result)
{
    if (event == CODEC_BAD)
        result->fault.status = 502;
    return event;
}

static enum codec_event back_feed(void *state, struct slice *in, const struct head_limits *limits,
                                  struct arena *a, struct codec_result *result)
{
    struct h1_back *b = state;
    if (b->reader.at != H1_HEAD)
        return blame_backend(h1_read_body(&b->reader, in, limits, a, result), result);
    enum codec_event event = h1_read_response(&b->reader, in, b->method, limits, a, result);
    return event == CODEC_HEAD ? check_head(b, result) : event;
}

static enum codec_event back_eof(void *state, struct codec_result *result)
{
    struct h1_back *b = state;
    b->keep = false;
    return h1_read_eof(&b->reader, result);
}

static uint64_t back_plain_left(const void *state)
{
    const struct h1_back *b = state;
    return h1_plain_left(&b->reader);
}

static void back_plain_taken(void *state, uint64_t n)
{
    struct h1_back *b = state;
    h1_plain_taken(&b->reader, n);
}

static bool back_is_plain_out(const void *state)
{
    (void)state;
    return true; /* a chunk may be of any size */
}

static bool back_is_reusable(const void *state)
{
    const struct h1_back *b = state;
    bool until_close = b->reader.kind == BODY_CLOSE || b->reader.kind == BODY_TUNNEL;
    return b->keep && b->sent_all && b->reader.at == H1_END && !until_close;
}

const struct back_codec h1_back_codec = {
    .name = "http",
    .default_port = 80,
    .name_over_tls = "https",
    .port_over_tls = 443,
    .state_bytes = sizeof(struct h1_back),
    .begin = back_begin,
    .put_body = back_put_body,
    .put_end = back_put_end,
    .feed = back_feed,
    .eof = back_eof,
    .plain_left = back_plain_left,
    .plain_taken = back_plain_taken,
    .is_plain_out = back_is_plain_out,
    .is_reusable = back_is_reusable,
};
