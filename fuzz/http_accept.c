/* Weights lie in their range, and what is asked for first makes no difference.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/accept.h"

static struct accept ask(const struct fields *fields, const struct slice *names, unsigned n)
{
    struct accept a = {.names = names, .n = n};
    accept_encoding(&a, fields);
    for (unsigned i = 0; i < n; i++)
        HOLDS(a.weight[i] <= ACCEPT_FULL);
    HOLDS(a.identity <= ACCEPT_FULL);
    return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct slice some[] = {SLICE_INIT("gzip"), SLICE_INIT("br"), SLICE_INIT("zstd")};
    static const struct slice turned[] = {SLICE_INIT("zstd"), SLICE_INIT("br"), SLICE_INIT("gzip")};
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    struct field line = {.value = slice_of(exact, n), .id = FIELD_ACCEPT_ENCODING};
    struct fields fields = {.v = &line, .n = 1, .seen = UINT64_C(1) << FIELD_ACCEPT_ENCODING};
    struct accept a = ask(&fields, some, 3), b = ask(&fields, turned, 3);
    static const struct slice types[] = {SLICE_INIT("text/html")};
    struct accept c = {.names = types, .n = 1};
    line.id = FIELD_ACCEPT;
    fields.seen = UINT64_C(1) << FIELD_ACCEPT;
    accept_types(&c, &fields);
    HOLDS(c.weight[0] <= ACCEPT_FULL);
    free(exact);
    HOLDS(a.weight[0] == b.weight[2] && a.weight[1] == b.weight[1] && a.weight[2] == b.weight[0]);
    HOLDS(a.identity == b.identity);
    return 0;
}
