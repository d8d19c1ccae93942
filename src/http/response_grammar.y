/* The head of a response, for every protocol that backends speak (RFC 9112 4, RFC 3875 6), and the
 * trailer section (RFC 9112 7.1.2), which is a head without a status line.
 * SPDX-License-Identifier: MIT */
%name response_grammar
%token_prefix RESPONSE_
%token_type {const struct head_token *}
%extra_context {struct head_parse *h}
%stack_size 6

%include {
#include <assert.h>
#include "http/head_internal.h"

static void response_grammar(void *parser, int token, const struct head_token *t);
#define YYNOERRORRECOVERY
}

%token FIELD_LINE. /* the same number in both head grammars */

/* RFC 9112 2.1: HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ] */
http_message ::= start_line field_lines.

start_line ::= status_line.

/* RFC 3875 6.2: CGI-Response = document-response / local-redir-response / ..., each of which is
 * 1*( field NL ) NL: no status line, but perhaps a Status field. */
start_line ::= .                                      { response_no_status_line(h); }

/* RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ] */
status_line ::= STATUS_LINE(L).                       { response_status_line(h, L); }

/* RFC 9112 5: field-line = field-name ":" OWS field-value OWS */
field_lines ::= .
field_lines ::= field_lines FIELD_LINE(F).            { head_add_field(h, F); }

%parse_accept { h->accepted = true; }

/* The parser is a local variable here, as its size is known only to this file. */
%code {
void response_grammar_run(struct head_parse *h)
{
    yyParser parser;
    const struct head_token *token;
    int id;
    response_grammarInit(&parser, h);
    do {
        id = head_lex(h, &token);
        if (id != HEAD_TOKEN_BAD)
            response_grammar(&parser, id, token);
    } while (id > HEAD_TOKEN_END && !h->bad);
    response_grammarFinalize(&parser);
}
}
