/* SPDX-License-Identifier: MIT */
#include "http/file_piece.h"

#include "base/num.h"
#include "http/file_piece_internal.h"

bool file_piece_next(struct slice *rest, struct file_piece *piece)
{
    struct piece_parts parts;
    size_t n = rest->n ? piece_lex(*rest, &parts) : 0;
    if (n == 0 || !num_dec(parts.first, &piece->first))
        return false;
    piece->path = parts.path;
    piece->is_open = parts.last.n == 0;
    if (!piece->is_open && (!num_dec(parts.last, &piece->last) || piece->last < piece->first ||
                            piece->last == UINT64_MAX))
        return false;
    *rest = slice_skip(*rest, n);
    return true;
}
