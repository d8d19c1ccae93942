/* Tokens of a Forwarded field value. The slice may end anywhere: the lexer sees a NUL there, and
 * never reads it.
 * SPDX-License-Identifier: MIT */
#include "http/forwarded_internal.h"

#include "forwarded_grammar.h"

/*!re2c
    re2c:define:YYCTYPE     = "unsigned char";
    re2c:api                = custom;
    re2c:api:style          = free-form;
    re2c:define:YYPEEK      = "(cur < limit ? *cur : 0)";
    re2c:define:YYSKIP      = "++cur;";
    re2c:define:YYBACKUP    = "marker = cur;";
    re2c:define:YYRESTORE   = "cur = marker;";
    re2c:define:YYLESSTHAN  = "cur >= limit";
    re2c:yyfill:enable      = 0;
    re2c:eof                = 0;

    // RFC 9110 5.6.1.2: empty elements of a list are read over
    comma  = [ \t]* ("," [ \t]*)+;
    // RFC 7239 4 has no space around it; some write it
    semi   = [ \t]* (";" [ \t]*)+;
    // RFC 9110 5.6.2, 5.6.4
    tchar  = [-!#$%&'*+.^_`|~0-9A-Za-z];
    qdtext = [\t !#-\x5b\x5d-\x7e\x80-\xff];
    quoted = ["] (qdtext | "\\" [\t -\x7e\x80-\xff])* ["];
*/

int forwarded_lex(struct slice *rest, struct slice *token)
{
    const unsigned char *start = (const unsigned char *)rest->p, *cur = start;
    const unsigned char *limit = start + rest->n, *marker;
    int found;
    /*!re2c
    tchar+  { found = FORWARDED_TOKEN; goto done; }
    quoted  { found = FORWARDED_QUOTED; goto done; }
    "="     { found = FORWARDED_EQUALS; goto done; }
    semi    { found = FORWARDED_SEMICOLON; goto done; }
    comma   { found = FORWARDED_COMMA; goto done; }
    *       { return FORWARDED_TOKEN_BAD; }
    $       { return FORWARDED_TOKEN_END; }
    */
done:
    *token = slice_of(start, (size_t)(cur - start));
    *rest = slice_skip(*rest, token->n);
    return found;
}
