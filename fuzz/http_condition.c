/* A condition's value: whatever it is, what it matches is a tag that stands in it.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/condition.h"

static void check(struct slice value, enum field_id id, struct arena *a)
{
    static const struct validators v = {SLICE_INIT("\"v\""), 1000000000, true};
    struct fields fields = {0};
    fields_add(&fields, a, id, slice_str(field_name(id)), value);
    enum condition get = condition_check(&fields, METHOD_GET, &v);
    bool is_there = slice_eq(value, SLICE("*")) || memmem(value.p, value.n, "\"v\"", 3);
    if (id == FIELD_IF_NONE_MATCH)
        HOLDS(get != CONDITION_FAILED && (is_there || get == CONDITION_MET));
    if (id == FIELD_IF_MATCH)
        HOLDS(get != CONDITION_NOT_MODIFIED && (is_there || get == CONDITION_FAILED));
    HOLDS(id != FIELD_IF_RANGE || get == CONDITION_MET);
    if (id == FIELD_IF_RANGE && condition_allows_range(&fields, &v))
        HOLDS(slice_eq(value, v.etag) || value.n >= 24);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum field_id ids[] = {FIELD_IF_NONE_MATCH, FIELD_IF_MATCH, FIELD_IF_RANGE,
                                        FIELD_IF_MODIFIED_SINCE, FIELD_IF_UNMODIFIED_SINCE};
    struct fuzz_arena a;
    struct arena *arena = fuzz_arena_init(&a);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        check(slice_of(exact, n), ids[i], arena);
    free(exact);
    fuzz_arena_fini(&a);
    return 0;
}
