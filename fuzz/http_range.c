/* The first eight bytes are the length of the representation.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t length, sum = 0;
    struct ranges out;
    if (n < sizeof(length))
        return 0;
    memcpy(&length, data, sizeof(length));
    n -= sizeof(length);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data + sizeof(length), n);
    enum range_verdict verdict = range_parse(slice_of(exact, n), length, &out);
    free(exact);
    HOLDS(out.n <= RANGES_MAX);
    HOLDS(verdict != RANGE_SATISFIABLE || out.n >= 1);
    HOLDS(verdict != RANGE_UNSATISFIABLE || out.n == 0);
    for (unsigned i = 0; i < out.n; i++) {
        HOLDS(out.v[i].first <= out.v[i].last && out.v[i].last < length);
        uint64_t bytes = out.v[i].last - out.v[i].first + 1;
        HOLDS(verdict != RANGE_SATISFIABLE || bytes <= length - sum);
        sum += verdict == RANGE_SATISFIABLE ? bytes : 0;
    }
    return 0;
}
