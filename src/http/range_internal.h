/* What the range lexer, the range grammar and range.c share. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_RANGE_INTERNAL_H
#define HTTP_RANGE_INTERNAL_H

#include "http/range.h"

enum { RANGE_TOKEN_BAD = -1, RANGE_TOKEN_END = 0 };

struct range_parse {
    struct slice rest; /* not read yet */
    uint64_t length;
    struct ranges *out;
    unsigned specs; /* seen, also those that cannot be satisfied */
    bool ignore, accepted;
};

int range_lex(struct slice *rest, struct slice *token);
void range_grammar_run(struct range_parse *r);

void range_ignore(struct range_parse *r);
void range_add(struct range_parse *r, struct slice first, struct slice last);
void range_add_open(struct range_parse *r, struct slice first);
void range_add_suffix(struct range_parse *r, struct slice suffix_length);

#endif
