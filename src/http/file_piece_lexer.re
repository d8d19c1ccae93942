/* One piece of X-Sendfile2. The slice may end anywhere: the lexer sees a NUL there, and never reads
 * it.
 * SPDX-License-Identifier: MIT */
#include "http/file_piece_internal.h"

/*!re2c
    re2c:define:YYCTYPE     = "unsigned char";
    re2c:api                = custom;
    re2c:api:style          = free-form;
    re2c:define:YYPEEK      = "(cur < limit ? *cur : 0)";
    re2c:define:YYSKIP      = "++cur;";
    re2c:define:YYBACKUP    = "marker = cur;";
    re2c:define:YYRESTORE   = "cur = marker;";
    re2c:define:YYLESSTHAN  = "cur >= limit";
    re2c:define:YYSTAGP     = "@@{tag} = cur;";
    re2c:define:YYSTAGN     = "@@{tag} = NULL;";
    re2c:define:YYSHIFTSTAG = "@@{tag} += @@{shift};";
    re2c:yyfill:enable      = 0;
    re2c:eof                = 0;
    re2c:flags:tags         = 1;
*/

size_t piece_lex(struct slice s, struct piece_parts *out)
{
    const unsigned char *start = (const unsigned char *)s.p, *cur = start, *limit = start + s.n;
    const unsigned char *marker, *p, *pe, *f, *fe, *l, *le;
    /*!stags:re2c format = "const unsigned char *@@;\n"; */
    /*!re2c
    blank = [ \t];
    blank* @p [^ \t,\x00]+ @pe blank+ @f [0-9]+ @fe "-" @l [0-9]* @le blank* ","? { goto found; }
    * { return 0; }
    $ { return 0; }
    */
found:
    if (cur < limit && cur[-1] != ',')
        return 0;
    out->path = slice_of(p, (size_t)(pe - p));
    out->first = slice_of(f, (size_t)(fe - f));
    out->last = slice_of(l, (size_t)(le - l));
    return (size_t)(cur - start);
}
