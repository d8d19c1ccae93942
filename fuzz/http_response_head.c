/* The first byte chooses the form of the head, and the method that is answered.
 * SPDX-License-Identifier: MIT */
#include "http/framing.h"
#include "http_head.h"

static void check(struct slice head, enum response_form form, enum method method, struct arena *a)
{
    struct response_head r;
    struct framing framing;
    struct fault f = {0};
    if (response_head_parse(head, form, &fuzz_limits, a, &r, &f) == PARSE_BAD) {
        HOLDS(f.what && f.rule && f.status == 502 && f.offset <= head.n);
        return;
    }
    HOLDS(r.status >= 100 && r.status <= 599);
    HOLDS(fuzz_lies_in(head, r.reason) && fuzz_is_text(r.reason));
    fuzz_check_fields(head, &r.fields);
    HOLDS(form != RESPONSE_CGI || !fields_has(&r.fields, FIELD_STATUS));
    if (framing_of_response(&r, method, &framing, &f) == PARSE_BAD)
        HOLDS(f.status == 502);
    else if (method == METHOD_HEAD && r.status != 101)
        HOLDS(framing.kind == BODY_NONE);
}

static void check_trailers(struct slice section, struct arena *a)
{
    struct fields fs;
    struct fault f = {0};
    if (trailers_parse(section, &fuzz_limits, a, &fs, &f) == PARSE_DONE)
        fuzz_check_fields(section, &fs);
    else
        HOLDS(f.what && f.rule && f.status >= 400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_CONNECT, METHOD_POST};
    struct fuzz_arena a;
    size_t end = 0;
    if (n < 1)
        return 0;
    struct slice bytes = slice_of(data + 1, n - 1);
    struct arena *arena = fuzz_arena_init(&a);
    if (fuzz_find_end(bytes, &end)) {
        char *exact = malloc(end); /* nothing behind the head may be read */
        memcpy(exact, bytes.p, end);
        if (data[0] & 2)
            check_trailers(slice_of(exact, end), arena);
        else
            check(slice_of(exact, end), data[0] & 1 ? RESPONSE_CGI : RESPONSE_STATUS_LINE,
                  methods[data[0] >> 2 & 3], arena);
        free(exact);
    }
    fuzz_arena_fini(&a);
    return 0;
}
