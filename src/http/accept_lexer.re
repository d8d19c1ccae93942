/* Tokens of an Accept-Encoding or Accept field value. The slice may end anywhere: the lexer sees a NUL there,
 * and never reads it.
 * SPDX-License-Identifier: MIT */
#include "http/accept_internal.h"

#include "accept_grammar.h"

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
    // RFC 9110 5.6.2
    tchar  = [-!#$%&'*+.^_`|~0-9A-Za-z];
    // RFC 9110 12.4.2
    qvalue = "0" ("." [0-9]{0,3})? | "1" ("." "0"{0,3})?;
    weight = [ \t]* ";" [ \t]* 'q=' qvalue;
    // RFC 9110 12.5.1
    range  = tchar+ "/" tchar+;
    // RFC 9110 5.6.4, 5.6.6
    quoted = ["] ([\t !#-[\]-~\x80-\xff] | "\\" [\t -~\x80-\xff])* ["];
    parameter = [ \t]* ";" ([ \t]* tchar+ "=" (tchar+ | quoted))?;
*/

int accept_lex(struct slice *rest, struct slice *token)
{
    const unsigned char *start = (const unsigned char *)rest->p, *cur = start;
    const unsigned char *limit = start + rest->n, *marker;
    int found;
    /*!re2c
    tchar+  { found = ACCEPT_TOKEN; goto done; }
    weight  { found = ACCEPT_WEIGHT; goto done; }
    range   { found = ACCEPT_RANGE; goto done; }
    parameter { found = ACCEPT_PARAMETER; goto done; }
    comma   { found = ACCEPT_COMMA; goto done; }
    *       { return ACCEPT_TOKEN_BAD; }
    $       { return ACCEPT_TOKEN_END; }
    */
done:
    *token = slice_of(start, (size_t)(cur - start));
    *rest = slice_skip(*rest, token->n);
    return found;
}
