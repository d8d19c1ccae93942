/* SCGI towards backends: one netstring of variables, the body, and the response until the
 * connection closes. The row of codecs.def is scgi_back_codec.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "codec/cgi.h"
#include "codec/cgi_env.h"

/* The netstring: digits, ':', variables, ','. How many digits there are is known last, so the
 * variables are written behind room for the most and then moved up to them. Answers the end. */
static char *put_netstring(const struct cgi_env *env, char *start)
{
    char digits[NUM_DEC_MAX];
    char *vars = start + NUM_DEC_MAX + 1;
    size_t n = (size_t)(cgi_env_put(env, vars) - vars);
    size_t digits_n = num_put_dec(digits, n);
    memcpy(start, digits, digits_n);
    char *p = start + digits_n;
    *p++ = ':';
    memmove(p, vars, n);
    p[n] = ',';
    return p + n + 1;
}

static void back_begin(void *state, const struct codec_request *request, struct chain *out)
{
    struct cgi_env env;
    cgi_back_init(state, request);
    cgi_env_init(&env, CGI_STRINGS, request);
    size_t bound = cgi_env_bound(&env) + NUM_DEC_MAX + 2;
    if (bound <= BUF_LARGE) {
        char *start = chain_reserve(out, bound);
        chain_commit(out, (size_t)(put_netstring(&env, start) - start));
        return;
    }
    char *own = mem_alloc(bound);
    chain_copy(out, slice_of(own, (size_t)(put_netstring(&env, own) - own)));
    free(own);
}

const struct back_codec scgi_back_codec = {
    .name = "scgi",
    .state_bytes = sizeof(struct cgi_back),
    .holds_process = true,
    .wants_cgi = true,
    .needs_length = true,
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
