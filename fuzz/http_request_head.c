/* SPDX-License-Identifier: MIT */
#include "http/framing.h"
#include "http/uri.h"
#include "http_head.h"

static void check_target(struct slice head, const struct request_head *r)
{
    struct slice host;
    int port;
    HOLDS(r->target.n > 0 && fuzz_lies_in(head, r->target) && fuzz_is_visible(r->target));
    HOLDS(slice_find(r->target, '#') == r->target.n);
    HOLDS(r->method_text.n > 0 && fuzz_is_visible(r->method_text));
    HOLDS((r->form == TARGET_AUTHORITY) == (r->method == METHOD_CONNECT));
    HOLDS(r->form != TARGET_ASTERISK || r->method == METHOD_OPTIONS);
    if (r->form == TARGET_AUTHORITY)
        HOLDS(r->path.n == 0);
    else
        HOLDS(r->path.p[0] == '/' || slice_eq(r->path, SLICE("*")));
    HOLDS(r->has_query || r->query.n == 0);
    HOLDS(r->authority.p == NULL || uri_split_authority(r->authority, &host, &port));
    HOLDS(r->minor == 0 || r->authority.p != NULL);
}

static void check(struct slice head, struct arena *a)
{
    struct request_head r;
    struct framing framing;
    struct fault f = {0};
    struct slice path;
    if (request_head_parse(head, &fuzz_limits, a, &r, &f) == PARSE_BAD) {
        HOLDS(f.what && f.rule && f.status >= 400 && f.offset <= head.n);
        return;
    }
    check_target(head, &r);
    fuzz_check_fields(head, &r.fields);
    if (framing_of_request(&r, &framing, &f) == PARSE_DONE)
        HOLDS(framing.kind != BODY_CLOSE && framing.kind != BODY_TUNNEL);
    if (r.path.n && uri_normalise_path(r.path, a, &path, &f) == PARSE_DONE)
        HOLDS(path.n > 0 && path.n <= r.path.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_arena a;
    struct slice bytes = slice_of(data, n);
    size_t end = 0;
    struct arena *arena = fuzz_arena_init(&a);
    if (fuzz_find_end(bytes, &end)) {
        char *exact = malloc(end); /* nothing behind the head may be read */
        memcpy(exact, data, end);
        check(slice_of(exact, end), arena);
        free(exact);
    }
    fuzz_arena_fini(&a);
    return 0;
}
