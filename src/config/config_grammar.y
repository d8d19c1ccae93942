/* Shape of a configuration file; the words' meaning is schema.h's. END is a line end or ';'.
 * The last directive of a block or file needs none.
 * SPDX-License-Identifier: MIT */
%name ConfigGrammar
%token_prefix TOKEN_
%token_type {struct config_word *}
%extra_context {struct ast_builder *builder}
%include {
#include <assert.h>
#include "config/ast_builder.h"
}
%code {
void ast_run(struct ast_builder *builder)
{
    yyParser parser;
    struct config_word *word = NULL;
    int token;
    ConfigGrammarInit(&parser, builder);
    while ((token = ast_next(builder, &word)) >= 0) {
        ConfigGrammar(&parser, token, word);
        if (token == 0)
            break;
    }
    ConfigGrammarFinalize(&parser);
}
}
%syntax_error { ast_on_syntax_error(builder, yymajor, yyminor); }
%stack_overflow { ast_on_overflow(builder); }

%type lines {struct directive_list}
%type body {struct directive_list}
%type line {struct directive_list}
%type words {struct directive *}

file ::= body(B).                       { ast_on_file(builder, B); }

body(A) ::= lines(A).
body(A) ::= lines(L) line(D).           { A = ast_join(L, D); }

lines(A) ::= .                          { A = ast_nothing(); }
lines(A) ::= lines(A) END.
lines(A) ::= lines(L) line(D) END.      { A = ast_join(L, D); }

line(A) ::= words(W).                   { A = ast_on_directive(builder, W); }
line(A) ::= words(W) OPEN body(B) CLOSE. { A = ast_on_block(builder, W, B); }

words(A) ::= WORD(W).                   { A = ast_on_name(builder, W); }
words(A) ::= words(A) WORD(W).          { ast_on_word(builder, A, W); }
