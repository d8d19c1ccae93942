/* The three forms of a date (RFC 9110 5.6.7), each by one rule. The slice may end anywhere: the
 * lexer sees a NUL there, and never reads it.
 * SPDX-License-Identifier: MIT */
#include "http/date_internal.h"

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

    digit    = [0-9];
    day_name = "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun";
    day_long = "Monday" | "Tuesday" | "Wednesday" | "Thursday" | "Friday" | "Saturday" | "Sunday";
    month    = "Jan" | "Feb" | "Mar" | "Apr" | "May" | "Jun"
             | "Jul" | "Aug" | "Sep" | "Oct" | "Nov" | "Dec";
    time     = digit{2} ":" digit{2} ":" digit{2};
*/

bool date_lex(struct slice s, struct date_parts *out)
{
    const unsigned char *cur = (const unsigned char *)s.p, *limit = cur + s.n;
    const unsigned char *marker, *d, *m, *y, *t;
    /*!stags:re2c format = "const unsigned char *@@;\n"; */
    /*!re2c
    // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    day_name ", " @d digit{2} " " @m month " " @y digit{4} " " @t time " GMT" {
        out->year_digits = 4;
        goto found;
    }
    // rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
    day_long ", " @d digit{2} "-" @m month "-" @y digit{2} " " @t time " GMT" {
        out->year_digits = 2;
        goto found;
    }
    // asctime-date: Sun Nov  6 08:49:37 1994
    day_name " " @m month " " @d (digit{2} | " " digit) " " @t time " " @y digit{4} {
        out->year_digits = 4;
        goto found;
    }
    *   { return false; }
    $   { return false; }
    */
found:
    out->day = (const char *)d;
    out->month = (const char *)m;
    out->year = (const char *)y;
    out->time = (const char *)t;
    return cur == limit;
}
