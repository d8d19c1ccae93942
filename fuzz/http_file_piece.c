/* X-Sendfile2: pieces lie in the value, in order, and all of it is read or the rest is left.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"
#include "http/file_piece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *exact = malloc(n ? n : 1);
    memcpy(exact, data, n);
    const struct slice whole = slice_of(exact, n);
    struct slice rest = whole;
    struct file_piece piece;
    for (size_t before = rest.n; file_piece_next(&rest, &piece); before = rest.n) {
        HOLDS(rest.n < before && fuzz_lies_in(whole, rest) && fuzz_lies_in(whole, piece.path));
        HOLDS(piece.path.n && slice_find(piece.path, ' ') == piece.path.n);
        HOLDS(piece.is_open || (piece.first <= piece.last && piece.last < UINT64_MAX));
    }
    free(exact);
    return 0;
}
