/* Tokens of If-Match and If-None-Match. The slice may end anywhere: the lexer sees a NUL there, and
 * never reads it.
 * SPDX-License-Identifier: MIT */
#include "http/condition_internal.h"

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

    // RFC 9110 8.8.3
    etagc = [\x21\x23-\x7e\x80-\xff];
    // RFC 9110 5.6.1.2: empty elements of a list are read over, but not without end
    comma = [ \t]* ("," [ \t]*){1,4};
*/

enum etag_token etag_lex(struct slice *rest, struct slice *token)
{
    const unsigned char *start = (const unsigned char *)rest->p, *cur = start;
    const unsigned char *limit = start + rest->n, *marker;
    enum etag_token found;
    /*!re2c
    // RFC 9110 8.8.3: "W/" is case-sensitive
    "W/"? ["] etagc* ["] { found = ETAG_TAG; goto done; }
    comma                { found = ETAG_COMMA; goto done; }
    *                    { return ETAG_BAD; }
    $                    { return ETAG_END; }
    */
done:
    *token = slice_of(start, (size_t)(cur - start));
    *rest = slice_skip(*rest, token->n);
    return found;
}
