/* The configuration language's lexemes. A word is what lies between blanks; braces inside a word
 * must pair up within it (so that a regex such as ^/\d{4}$ needs no quotes), an unpaired one opens
 * or closes a block. '#' begins a comment only at the beginning of a word.
 *
 * ${NAME} in capitals is the environment's and stands for its value; ${name}, ${name:ARG} and ${1} in
 * small letters or digits are left as they are, for the keys that know them (rewrite/template.h).
 * SPDX-License-Identifier: MIT */
#include "config/lexer.h"

/*!re2c
    re2c:eof = 0;
    re2c:yyfill:enable = 0;
    re2c:define:YYCTYPE = "unsigned char";
    re2c:define:YYCURSOR = c;
    re2c:define:YYLIMIT = end;
    re2c:define:YYMARKER = m;

    newline = "\r"? "\n";
    control = [\x00-\x08\x0b-\x1f\x7f];
    plain   = [^\x00-\x20\x7f"{};#$];
    inner   = [^\x00-\x20\x7f"{};];
    pair    = "{" inner* "}";
    unit    = (plain | "$"+ plain) ("#" | pair)*;
    name    = [A-Z_][A-Z0-9_]*;
    env     = "${" name (":-" [^\x00-\x1f\x7f"}]*)? "}";
    var     = "${" [a-z0-9] [^\x00-\x20\x7f"{};#$]* "}";
*/

enum lexeme config_lex(const char **cur, const char *end, struct slice *lexeme)
{
    const char *c = *cur, *m;
    enum lexeme kind;
    /*!re2c
        $                           { kind = LEX_EOF; goto done; }
        [ \t]+                      { kind = LEX_BLANK; goto done; }
        "#" [^\n\x00]*              { kind = LEX_COMMENT; goto done; }
        newline                     { kind = LEX_NEWLINE; goto done; }
        ";"                         { kind = LEX_SEMICOLON; goto done; }
        "{"                         { kind = LEX_OPEN; goto done; }
        "}"                         { kind = LEX_CLOSE; goto done; }
        unit+ | "$"                 { kind = LEX_TEXT; goto done; }
        env                         { kind = LEX_ENV; goto done; }
        var                         { kind = LEX_VARIABLE; goto done; }
        "${"                        { kind = LEX_BAD_ENV; goto done; }
        "\"" ([^\x00-\x08\x0a-\x1f\x7f"\\] | "\\" [^\x00-\x1f\x7f])* "\""
                                    { kind = LEX_STRING; goto done; }
        "\""                        { kind = LEX_BAD_STRING; goto done; }
        *                           { kind = LEX_BAD_BYTE; goto done; }
    */
done:
    *lexeme = slice_of(*cur, (size_t)(c - *cur));
    *cur = c;
    return kind;
}

enum lexeme config_lex_string(const char **cur, const char *end, struct slice *lexeme)
{
    const char *c = *cur, *m;
    enum lexeme kind;
    if (c == end)
        return LEX_EOF;
    /*!re2c
        re2c:eof = -1;
        "\\" ["\\$nrt]              { kind = LEX_ESCAPE; goto done; }
        "\\"                        { kind = LEX_BAD_ESCAPE; goto done; }
        env                         { kind = LEX_ENV; goto done; }
        var                         { kind = LEX_VARIABLE; goto done; }
        "${"                        { kind = LEX_BAD_ENV; goto done; }
        "$" | [^\\$"\x00]+          { kind = LEX_TEXT; goto done; }
        *                           { kind = LEX_BAD_BYTE; goto done; }
    */
done:
    *lexeme = slice_of(*cur, (size_t)(c - *cur));
    *cur = c;
    return kind;
}

size_t config_lex_option(struct slice text)
{
    const char *c = text.p, *m;
    /*!re2c
        re2c:eof = -1;
        [a-z] [a-z0-9-]* "="        { return (size_t)(c - text.p) - 1; }
        *                           { return 0; }
    */
}
