/* What the lexer, the grammar and forwarded.c share. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FORWARDED_INTERNAL_H
#define HTTP_FORWARDED_INTERNAL_H

#include "http/forwarded.h"

enum { FORWARDED_TOKEN_BAD = -1, FORWARDED_TOKEN_END = 0 };

struct forwarded_parse {
    struct slice rest; /* not read yet */
    struct forwarded *out;
    struct slice node; /* of the element that is read */
    bool has_node;
    bool bad;
};

int forwarded_lex(struct slice *rest, struct slice *token);
void forwarded_grammar_run(struct forwarded_parse *p);

void forwarded_add_pair(struct forwarded_parse *p, struct slice name, struct slice value);
void forwarded_end_element(struct forwarded_parse *p);
void forwarded_bad(struct forwarded_parse *p);

#endif
