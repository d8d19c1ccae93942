/* Credentials (RFC 9110 11.4). The slice may end anywhere: the lexer sees a NUL there, and never
 * reads it.
 * SPDX-License-Identifier: MIT */
#include "http/credentials_internal.h"

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
*/

bool credentials_lex_basic(struct slice value, struct slice *token68)
{
    const unsigned char *start = (const unsigned char *)value.p, *cur = start;
    const unsigned char *limit = start + value.n, *marker;
    /*!re2c
    // RFC 9110 11.1: scheme names are case-insensitive
    'basic' " "+ { goto behind_scheme; }
    *            { return false; }
    $            { return false; }
    */
behind_scheme:
    *token68 = slice_skip(value, (size_t)(cur - start));
    /*!re2c
    // RFC 4648 4: four by four, the last padded
    char = [A-Za-z0-9+/];
    (char{4})* (char{4} | char{3} "=" | char{2} "==") { return cur == limit; }
    *            { return false; }
    $            { return false; }
    */
}
