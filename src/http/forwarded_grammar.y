/* Forwarded (RFC 7239 4). Rules carry the names of the RFC's ABNF.
 * SPDX-License-Identifier: MIT */
%name forwarded_grammar
%token_prefix FORWARDED_
%token_type {struct slice}
%extra_context {struct forwarded_parse *p}
%stack_size 16

%include {
#include <assert.h>
#include "http/forwarded_internal.h"

static void forwarded_grammar(void *parser, int token, struct slice value);
#define YYNOERRORRECOVERY
}

/* RFC 7239 4: Forwarded = 1#forwarded-element */
forwarded ::= elements.
forwarded ::= COMMA elements.
elements ::= forwarded_element.
elements ::= elements COMMA forwarded_element.
elements ::= elements COMMA.

/* RFC 7239 4: forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] ) */
forwarded_element ::= pairs.            { forwarded_end_element(p); }
forwarded_element ::= SEMICOLON pairs.  { forwarded_end_element(p); }
pairs ::= forwarded_pair.
pairs ::= pairs SEMICOLON forwarded_pair.
pairs ::= pairs SEMICOLON.

/* RFC 7239 4: forwarded-pair = token "=" value */
forwarded_pair ::= TOKEN(N) EQUALS value(V).  { forwarded_add_pair(p, N, V); }

/* RFC 7239 4: value = token / quoted-string */
value(A) ::= TOKEN(V).   { A = V; }
value(A) ::= QUOTED(V).  { A = V; }

%syntax_error { forwarded_bad(p); }

/* The parser is a local variable here, as its size is known only to this file. */
%code {
void forwarded_grammar_run(struct forwarded_parse *p)
{
    yyParser parser;
    struct slice token = SLICE_NONE;
    int id;
    forwarded_grammarInit(&parser, p);
    do {
        id = forwarded_lex(&p->rest, &token);
        if (id == FORWARDED_TOKEN_BAD)
            forwarded_bad(p);
        else
            forwarded_grammar(&parser, id, token);
    } while (id > FORWARDED_TOKEN_END && !p->bad);
    forwarded_grammarFinalize(&parser);
}
}
