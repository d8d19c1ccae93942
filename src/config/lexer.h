/* Lexemes of the configuration language (config_lexer.re). ast.c puts adjacent ones together to
 * words and counts lines.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_LEXER_H
#define CONFIG_LEXER_H

#include "base/slice.h"

enum lexeme {
    LEX_EOF,
    LEX_BLANK,
    LEX_COMMENT,
    LEX_NEWLINE,
    LEX_SEMICOLON,
    LEX_OPEN,
    LEX_CLOSE,
    LEX_TEXT,     /* part of a word, as it stands */
    LEX_STRING,   /* "..." with its quotes */
    LEX_ENV,      /* ${NAME} or ${NAME:-default}, whole */
    LEX_VARIABLE, /* ${name}: of a request, not known here */
    LEX_ESCAPE,   /* inside strings: \x */
    LEX_BAD_STRING,
    LEX_BAD_ENV,
    LEX_BAD_ESCAPE,
    LEX_BAD_BYTE,
};

/* Takes the next lexeme off *cur. *end must be readable and NUL. */
enum lexeme config_lex(const char **cur, const char *end, struct slice *lexeme);
/* The same for what stands between quotes; here *end is the closing quote. */
enum lexeme config_lex_string(const char **cur, const char *end, struct slice *lexeme);
/* The length of NAME in a text that begins with NAME=, or 0. text.p[text.n] must be readable. */
size_t config_lex_option(struct slice text);

#endif
