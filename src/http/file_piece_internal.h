/* What the lexer of file_piece.c finds. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FILE_PIECE_INTERNAL_H
#define HTTP_FILE_PIECE_INTERNAL_H

#include "base/slice.h"

struct piece_parts {
    struct slice path, first, last;
};

/* One piece, with the comma behind it or up to the end: its length; 0: there is none. */
size_t piece_lex(struct slice s, struct piece_parts *out);

#endif
