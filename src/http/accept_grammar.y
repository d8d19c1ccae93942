/* Weighted content codings and media types (RFC 9110 12.5.3, 12.5.1). Rules carry the names of the RFC's ABNF.
 * SPDX-License-Identifier: MIT */
%name accept_grammar
%token_prefix ACCEPT_
%token_type {struct slice}
%extra_context {struct accept_parse *p}
%stack_size 10
%type parameters {struct slice}

%include {
#include <assert.h>
#include "http/accept_internal.h"

static void accept_grammar(void *parser, int token, struct slice value);
#define YYNOERRORRECOVERY
}

/* RFC 9110 12.5.3: Accept-Encoding = #( codings [ weight ] ); the field may be empty
 * RFC 9110 12.5.1: Accept = #( media-range [ weight ] ) */
accept ::= .
accept ::= COMMA.
accept ::= list.

list ::= element.
list ::= COMMA element.
list ::= list COMMA element.
list ::= list COMMA.

/* RFC 9110 12.5.3: codings = content-coding / "identity" / "*" */
element ::= TOKEN(C).            { accept_add_coding(p, C, SLICE_NONE); }
element ::= TOKEN(C) WEIGHT(W).  { accept_add_coding(p, C, W); }

/* RFC 9110 12.5.1: media-range = ( "*" "/" "*" / type "/" "*" / type "/" subtype ) parameters. What
 * older clients put behind the weight is read over. The value is the weight. */
element ::= RANGE(R) parameters(W).  { accept_add_type(p, R, W); }

parameters(W) ::= .                             { W = SLICE_NONE; }
parameters(W) ::= parameters(V) PARAMETER(P).   { W = V; accept_parameter(p, P); }
parameters(W) ::= parameters WEIGHT(V).         { W = V; }

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
