/* The head of a request (RFC 9112 2.1, 3, 5). Rules carry the names of the RFC's ABNF; the lexer
 * has taken off blanks and line ends, so that CRLF and SP do not appear.
 * SPDX-License-Identifier: MIT */
%name request_grammar
%token_prefix REQUEST_
%token_type {const struct head_token *}
%extra_context {struct head_parse *h}
%stack_size 8

%include {
#include <assert.h>
#include "http/head_internal.h"

static void request_grammar(void *parser, int token, const struct head_token *t);
#define YYNOERRORRECOVERY
}

%token FIELD_LINE. /* the same number in both head grammars */

/* RFC 9112 2.1: HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ] */
http_message ::= start_line field_lines.

start_line ::= request_line.

/* RFC 9112 3: request-line = method SP request-target SP HTTP-version.
 * The methods that fix the form of the target have tokens of their own. */
request_line ::= METHOD(M) resource_target HTTP_VERSION(V).   { request_line_end(h, M, V); }
request_line ::= OPTIONS(M) resource_target HTTP_VERSION(V).  { request_line_end(h, M, V); }
request_line ::= OPTIONS(M) asterisk_form HTTP_VERSION(V).    { request_line_end(h, M, V); }
request_line ::= CONNECT(M) authority_form HTTP_VERSION(V).   { request_line_end(h, M, V); }

/* RFC 9112 3.2: request-target = origin-form / absolute-form / authority-form / asterisk-form */
resource_target ::= origin_form.
resource_target ::= absolute_form.

/* RFC 9112 3.2.1: origin-form = absolute-path [ "?" query ] */
origin_form ::= ABSOLUTE_PATH(P).                     { request_origin_form(h, P); }

/* RFC 9112 3.2.2: absolute-form = absolute-URI */
absolute_form ::= SCHEME(S) AUTHORITY(A) PATH_ABEMPTY(P). { request_absolute_form(h, S, A, P); }

/* RFC 9112 3.2.3: authority-form = uri-host ":" port, only with CONNECT */
authority_form ::= AUTHORITY(A).                      { request_authority_form(h, A); }

/* RFC 9112 3.2.4: asterisk-form = "*", only with OPTIONS */
asterisk_form ::= ASTERISK(A).                        { request_asterisk_form(h, A); }

/* RFC 9112 5: field-line = field-name ":" OWS field-value OWS */
field_lines ::= .
field_lines ::= field_lines FIELD_LINE(F).            { head_add_field(h, F); }

%parse_accept { h->accepted = true; }
%syntax_error { request_line_misfit(h); }

/* The parser is a local variable here, as its size is known only to this file. */
%code {
void request_grammar_run(struct head_parse *h)
{
    yyParser parser;
    const struct head_token *token;
    int id;
    request_grammarInit(&parser, h);
    do {
        id = head_lex(h, &token);
        if (id != HEAD_TOKEN_BAD)
            request_grammar(&parser, id, token);
    } while (id > HEAD_TOKEN_END && !h->bad);
    request_grammarFinalize(&parser);
}
}
