/* Weighted content codings (RFC 9110 12.5.3). Rules carry the names of the RFC's ABNF.
 * SPDX-License-Identifier: MIT */
%name accept_grammar
%token_prefix ACCEPT_
%token_type {struct slice}
%extra_context {struct accept_parse *p}
%stack_size 10

%include {
#include <assert.h>
#include "http/accept_internal.h"

static void accept_grammar(void *parser, int token, struct slice value);
#define YYNOERRORRECOVERY
}

/* RFC 9110 12.5.3: Accept-Encoding = #( codings [ weight ] ); the field may be empty */
accept_encoding ::= .
accept_encoding ::= COMMA.
accept_encoding ::= list.

list ::= element.
list ::= COMMA element.
list ::= list COMMA element.
list ::= list COMMA.

/* RFC 9110 12.5.3: codings = content-coding / "identity" / "*" */
element ::= TOKEN(C).            { accept_add(p, C, SLICE_NONE); }
element ::= TOKEN(C) WEIGHT(W).  { accept_add(p, C, W); }

%syntax_error { accept_bad(p); }

/* The parser is a local variable here, as its size is known only to this file. */
%code {
void accept_grammar_run(struct accept_parse *p)
{
    yyParser parser;
    struct slice token = SLICE_NONE;
    int id;
    accept_grammarInit(&parser, p);
    do {
        id = accept_lex(&p->rest, &token);
        if (id == ACCEPT_TOKEN_BAD)
            accept_bad(p);
        else
            accept_grammar(&parser, id, token);
    } while (id > ACCEPT_TOKEN_END && !p->bad);
    accept_grammarFinalize(&parser);
}
}
