/* Tokens of a Range field value. The slice may end anywhere: the lexer sees a NUL there, and never
 * reads it.
 * SPDX-License-Identifier: MIT */
#include "http/range_internal.h"

#include "range_grammar.h"

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

    // RFC 9110 5.6.1.2: empty elements of a list are read over, but not without end
    comma = [ \t]* ("," [ \t]*){1,4};
*/

int range_lex(struct slice *rest, struct slice *token)
{
    const unsigned char *start = (const unsigned char *)rest->p, *cur = start;
    const unsigned char *limit = start + rest->n, *marker;
    int found;
    /*!re2c
    // RFC 9110 14.1: unit names are case-insensitive
    'bytes=' [ \t]* { found = RANGE_BYTES; goto done; }
    [0-9]+          { found = RANGE_DIGITS; goto done; }
    "-"             { found = RANGE_DASH; goto done; }
    comma           { found = RANGE_COMMA; goto done; }
    *               { return RANGE_TOKEN_BAD; }
    $               { return RANGE_TOKEN_END; }
    */
done:
    *token = slice_of(start, (size_t)(cur - start));
    *rest = slice_skip(*rest, token->n);
    return found;
}
