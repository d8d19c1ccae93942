/* A body must come out the same however it is cut. The first byte says how many cuts there are, one
 * byte each follows for how far apart they are, then the body.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/chunked.h"

static const struct head_limits limits = {.head_bytes = 512, .target_bytes = 512, .fields = 16};

struct outcome {
    enum parse parse;
    char *body;
    size_t body_n, taken;
    struct slice trailers;
};

struct feeder {
    struct chunked chunked;
    struct outcome out;
};

/* What has arrived is copied, so that a read beyond it is seen. */
static void arrive(struct feeder *d, struct slice all)
{
    struct slice data, trailers;
    struct fault f = {0};
    size_t fresh = all.n - d->out.taken;
    char *exact = malloc(fresh + 1);
    memcpy(exact + 1, all.p + d->out.taken, fresh);
    struct slice in = slice_of(exact + 1, fresh);
    do {
        d->out.parse = chunked_feed(&d->chunked, &in, &data, &trailers, &limits, &f);
        HOLDS(data.n == 0 || d->out.parse == PARSE_MORE);
        if (data.n)
            memcpy(d->out.body + d->out.body_n, data.p, data.n);
        d->out.body_n += data.n;
    } while (d->out.parse == PARSE_MORE && data.n > 0);
    HOLDS(d->out.parse != PARSE_BAD || f.status == 400 || f.status == 431);
    d->out.taken += fresh - in.n;
    if (d->out.parse == PARSE_DONE) {
        HOLDS(slice_ends(trailers, SLICE("\n")));
        d->out.trailers = slice_of(all.p + d->out.taken - trailers.n, trailers.n);
    }
    free(exact);
}

static struct outcome outcome_of(struct slice bytes, struct slice gaps)
{
    struct feeder d = {.out = {.parse = PARSE_MORE, .body = malloc(bytes.n + 1)}};
    size_t at = 0;
    chunked_init(&d.chunked);
    for (size_t i = 0; i < gaps.n && d.out.parse == PARSE_MORE; i++) {
        at += (unsigned char)gaps.p[i];
        arrive(&d, slice_first(bytes, at));
    }
    if (d.out.parse == PARSE_MORE)
        arrive(&d, bytes);
    return d.out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1 || n > 16384)
        return 0;
    size_t cuts = data[0] < n - 1 ? data[0] : n - 1;
    struct slice gaps = slice_of(data + 1, cuts), bytes = slice_of(data + 1 + cuts, n - 1 - cuts);
    struct outcome whole = outcome_of(bytes, SLICE_NONE), cut = outcome_of(bytes, gaps);
    HOLDS(whole.parse == cut.parse && whole.body_n == cut.body_n);
    HOLDS(memcmp(whole.body, cut.body, whole.body_n) == 0);
    HOLDS(whole.parse == PARSE_BAD || whole.taken == cut.taken);
    HOLDS(whole.parse != PARSE_DONE || slice_eq(whole.trailers, cut.trailers));
    free(whole.body);
    free(cut.body);
    return 0;
}
