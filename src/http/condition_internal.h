/* What the lexer of condition.c finds. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CONDITION_INTERNAL_H
#define HTTP_CONDITION_INTERNAL_H

#include "base/slice.h"

enum etag_token { ETAG_END, ETAG_TAG, ETAG_COMMA, ETAG_BAD };

/* Takes the next token off *rest. Blanks belong to commas. */
enum etag_token etag_lex(struct slice *rest, struct slice *token);

#endif
