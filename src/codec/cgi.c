/* SPDX-License-Identifier: MIT */
#include "codec/cgi.h"

#include "codec/cgi_env.h"

char **cgi_environ(const struct codec_request *request, struct arena *a)
{
    struct cgi_env env;
    cgi_env_init(&env, CGI_ENVIRON, request);
    char *p = arena_alloc(a, cgi_env_bound(&env));
    const char *end = cgi_env_put(&env, p);
    size_t most = CGI_VARS_MAX + request->head->fields.n + (size_t)request->cgi->param_count + 1;
    size_t n = 0;
    char **v = arena_alloc(a, most * sizeof(*v));
    for (; p < end; p += strlen(p) + 1)
        v[n++] = p;
    v[n] = NULL;
    return v;
}

/* ---- shared with SCGI ---- */

void cgi_back_init(struct cgi_back *b, const struct codec_request *request)
{
    cgi_reader_init(&b->reader, request->head->method);
    b->left = request->framing.kind == BODY_LENGTH ? request->framing.length : 0;
}

void cgi_back_put_body(void *state, struct chain *body, struct chain *out)
{
    struct cgi_back *b = state;
    b->left -= chain_move(out, body, b->left);
}

void cgi_back_put_end(void *state, const struct fields *trailers, struct chain *out)
{
    (void)state;
    (void)trailers;
    (void)out;
}

enum codec_event cgi_back_feed(void *state, struct slice *in, const struct head_limits *limits,
                               struct arena *a, struct codec_result *result)
{
    struct cgi_back *b = state;
    return cgi_read(&b->reader, in, limits, a, result);
}

enum codec_event cgi_back_eof(void *state, struct codec_result *result)
{
    struct cgi_back *b = state;
    return cgi_read_end(&b->reader, result);
}

uint64_t cgi_back_plain_left(const void *state)
{
    const struct cgi_back *b = state;
    return cgi_plain_left(&b->reader);
}

void cgi_back_plain_taken(void *state, uint64_t n)
{
    struct cgi_back *b = state;
    cgi_plain_taken(&b->reader, n);
}

bool cgi_back_is_plain_out(const void *state)
{
    (void)state;
    return true;
}

bool cgi_back_is_reusable(const void *state)
{
    (void)state;
    return false;
}

/* ---- CGI ---- */

/* The head went into the environment when the program was started. */
static void back_begin(void *state, const struct codec_request *request, struct chain *out)
{
    (void)out;
    cgi_back_init(state, request);
}

const struct back_codec cgi_back_codec = {
    .name = "cgi",
    .state_bytes = sizeof(struct cgi_back),
    .holds_process = true,
    .wants_cgi = true,
    .needs_length = true,
    .finishes = true,
    .check = cgi_env_check,
    .begin = back_begin,
    .put_body = cgi_back_put_body,
    .put_end = cgi_back_put_end,
    .feed = cgi_back_feed,
    .eof = cgi_back_eof,
    .plain_left = cgi_back_plain_left,
    .plain_taken = cgi_back_plain_taken,
    .is_plain_out = cgi_back_is_plain_out,
    .is_reusable = cgi_back_is_reusable,
};
