/* Framing of a message whose framing fields are made of the input: the first byte chooses version
 * and kind, then each line is a value of the field that its first letter names.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/framing.h"

struct tally {
    unsigned lengths, codings;
    struct slice length, coding;
};

static struct tally fill(struct fields *fs, struct arena *a, struct slice bytes)
{
    struct tally t = {0};
    while (bytes.n > 0 && fs->n < 32) {
        size_t lf = slice_find(bytes, '\n');
        struct slice value = slice_trim(slice_skip(slice_first(bytes, lf), lf > 0));
        bool is_length = bytes.p[0] == 'l';
        if (is_length)
            t.length = value;
        else
            t.coding = value;
        t.lengths += is_length;
        t.codings += !is_length;
        fields_add(fs, a, is_length ? FIELD_CONTENT_LENGTH : FIELD_TRANSFER_ENCODING, SLICE("x"),
                   value);
        bytes = slice_skip(bytes, lf < bytes.n ? lf + 1 : lf);
    }
    return t;
}

static uint64_t exactly(struct slice digits)
{
    uint64_t v = 0;
    HOLDS(digits.n > 0);
    for (size_t i = 0; i < digits.n; i++) {
        HOLDS(digits.p[i] >= '0' && digits.p[i] <= '9');
        HOLDS(v <= (INT64_MAX - (uint64_t)(digits.p[i] - '0')) / 10);
        v = v * 10 + (uint64_t)(digits.p[i] - '0');
    }
    return v;
}

static void check(const struct tally *t, const struct framing *framing, uint8_t minor)
{
    if (framing->kind == BODY_LENGTH)
        HOLDS(t->lengths == 1 && t->codings == 0 && framing->length == exactly(t->length));
    if (framing->kind == BODY_CHUNKED)
        HOLDS(t->lengths == 0 && t->codings == 1 && minor == 1 &&
              slice_ieq(t->coding, SLICE("chunked")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_arena a;
    struct framing framing;
    struct fault f = {0};
    if (n < 2)
        return 0;
    struct arena *arena = fuzz_arena_init(&a);
    uint8_t minor = data[0] & 1;
    struct request_head request = {.minor = minor};
    struct tally t = fill(&request.fields, arena, slice_of(data + 2, n - 2));
    struct response_head response = {
        .minor = minor, .status = (uint16_t)(100 + data[1] * 2), .fields = request.fields};
    enum parse found = framing_of_request(&request, &framing, &f);
    if (found == PARSE_DONE) {
        check(&t, &framing, minor);
        HOLDS(framing.kind != BODY_NONE || (t.lengths == 0 && t.codings == 0));
    } else {
        HOLDS(f.status == 400 || f.status == 501);
    }
    HOLDS(found == framing_of_response(&response, METHOD_GET, &framing, &f));
    if (found == PARSE_DONE)
        check(&t, &framing, minor);
    else
        HOLDS(f.status == 502);
    fuzz_arena_fini(&a);
    return 0;
}
