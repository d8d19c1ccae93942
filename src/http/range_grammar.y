/* Byte ranges (RFC 9110 14.1.1, 14.2). Rules carry the names of the RFC's ABNF.
 * SPDX-License-Identifier: MIT */
%name range_grammar
%token_prefix RANGE_
%token_type {struct slice}
%extra_context {struct range_parse *r}
%stack_size 10

%include {
#include <assert.h>
#include "http/range_internal.h"

static void range_grammar(void *parser, int token, struct slice value);
#define YYNOERRORRECOVERY
}

/* RFC 9110 14.2: Range = ranges-specifier */
range ::= ranges_specifier.

/* RFC 9110 14.1.1: ranges-specifier = range-unit "=" range-set */
ranges_specifier ::= BYTES range_set.

/* RFC 9110 14.1.1: range-set = 1#range-spec */
range_set ::= range_spec.
range_set ::= COMMA range_spec.
range_set ::= range_set COMMA range_spec.
range_set ::= range_set COMMA.

/* RFC 9110 14.1.1: range-spec = int-range / suffix-range / other-range */
range_spec ::= int_range.
range_spec ::= suffix_range.

/* RFC 9110 14.1.1: int-range = first-pos "-" [ last-pos ] */
int_range ::= DIGITS(F) DASH DIGITS(L).  { range_add(r, F, L); }
int_range ::= DIGITS(F) DASH.            { range_add_open(r, F); }

/* RFC 9110 14.1.1: suffix-range = "-" suffix-length */
suffix_range ::= DASH DIGITS(N).         { range_add_suffix(r, N); }

%parse_accept { r->accepted = true; }
%syntax_error { range_ignore(r); }

/* The parser is a local variable here, as its size is known only to this file. */
%code {
void range_grammar_run(struct range_parse *r)
{
    yyParser parser;
    struct slice token = SLICE_NONE;
    int id;
    range_grammarInit(&parser, r);
    do {
        id = range_lex(&r->rest, &token);
        if (id != RANGE_TOKEN_BAD)
            range_grammar(&parser, id, token);
    } while (id > RANGE_TOKEN_END && !r->ignore);
    range_grammarFinalize(&parser);
}
}
