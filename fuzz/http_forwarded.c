/* What is found lies inside the line.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct forwarded f;
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    if (forwarded_parse(slice_of(exact, n), &f)) {
        HOLDS(f.n <= FORWARDED_MAX);
        for (unsigned i = 0; i < f.n; i++)
            HOLDS(!f.v[i].n || (f.v[i].p >= exact && f.v[i].p + f.v[i].n <= exact + n));
    }
    free(exact);
    return 0;
}
