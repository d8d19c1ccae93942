/* What the lexer, the grammar and accept.c share. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_ACCEPT_INTERNAL_H
#define HTTP_ACCEPT_INTERNAL_H

#include "http/accept.h"

enum { ACCEPT_TOKEN_BAD = -1, ACCEPT_TOKEN_END = 0 };

enum { ACCEPT_UNNAMED = -1 };

struct accept_parse {
    struct slice rest; /* not read yet */
    const struct accept *asked;
    enum field_id field;
    int16_t weight[ACCEPT_MAX], identity, any; /* or ACCEPT_UNNAMED */
    bool bad;
};

int accept_lex(struct slice *rest, struct slice *token);
void accept_grammar_run(struct accept_parse *p);

/* weight: ";q=0.5", or empty. */
void accept_add_coding(struct accept_parse *p, struct slice coding, struct slice weight);
void accept_add_type(struct accept_parse *p, struct slice type, struct slice weight);
void accept_parameter(struct accept_parse *p, struct slice parameter);
void accept_bad(struct accept_parse *p);

#endif
