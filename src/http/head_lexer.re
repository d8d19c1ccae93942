/* Reads heads in tokens as large as the grammars can use: a field line is one.
 *
 * The bytes end in LF and no rule goes beyond an LF, so nothing behind them is read. Where the
 * rules for what is right fail, a second block, off the fast path, finds out what is wrong.
 * There is no end-of-input rule: re2c cannot join it with the bit vectors that make loops short.
 * SPDX-License-Identifier: MIT */
#include "http/head_internal.h"

#include "request_grammar.h"
#include "response_grammar.h"

_Static_assert(REQUEST_FIELD_LINE == RESPONSE_FIELD_LINE, "one lexer serves both grammars");

/*!re2c
    re2c:define:YYCTYPE     = "unsigned char";
    re2c:define:YYCURSOR    = cur;
    re2c:define:YYMARKER    = marker;
    re2c:yyfill:enable      = 0;
    re2c:flags:bit-vectors  = 1;
    re2c:flags:tags         = 1;

    // RFC 9112 2.2; an LF alone is told apart by line_ends()
    eol        = "\r"? "\n";
    // RFC 9110 5.6.2
    tchar      = [-!#$%&'*+.^_`|~0-9A-Za-z];
    token      = tchar+;
    ows        = [ \t]*;
    // RFC 9110 5.5: field-vchar, SP, HTAB; also RFC 9112 4: reason-phrase
    text       = [\t\x20-\x7e\x80-\xff];

    // RFC 3986 3.3, and "[", "]", "^", "|", which browsers send raw (URL Standard)
    hex        = [0-9A-Fa-f];
    path_char  = [-A-Za-z0-9._~!$&'()*+,;=:@[\]^|] | "%" hex hex;
    abs_path   = "/" ("/" | path_char)*;
    // RFC 3986 3.4, and what browsers send raw: visible ASCII but for these four (URL Standard)
    query_char = [!-~] \ ["#<>];
    query      = "?" query_char*;
    // RFC 3986 3.1, 3.2; what an authority is made of in detail is uri.h's
    scheme     = [A-Za-z] [-A-Za-z0-9+.]*;
    auth_char  = [-A-Za-z0-9._~%!$&'()*+,;=:@[\]];
    // what a target may be thought to be when it is wrong
    visible    = [!-~] \ [#];
*/

typedef unsigned char uchar;

static const char *text_of(const uchar *p)
{
    return (const char *)p;
}

static int bad(struct head_parse *h, const uchar *at, const char *what, const char *rule)
{
    head_refuse(h, 400, text_of(at), what, rule);
    return HEAD_TOKEN_BAD;
}

/* cur: behind a line end. */
static bool line_ends(struct head_parse *h, const uchar *cur)
{
    if (text_of(cur) - h->base >= 2 && cur[-2] == '\r')
        return true;
    if (!h->lf_ends_line)
        bad(h, cur - 1, "line ends with LF alone", "RFC 9112 2.2");
    return h->lf_ends_line;
}

static int take(struct head_parse *h, const uchar *cur, head_lex_fn *next, int token)
{
    h->cur = text_of(cur);
    h->lex = next;
    return token;
}

static struct head_token token_of(const uchar *p, const uchar *end)
{
    return (struct head_token){.p = text_of(p), .n = (uint32_t)(end - p)};
}

static struct head_token token_two(const uchar *p, const uchar *end, const uchar *second,
                                   const uchar *second_end)
{
    return (struct head_token){.p = text_of(p),
                               .n = (uint32_t)(end - p),
                               .second = text_of(second),
                               .second_n = (uint32_t)(second_end - second)};
}

static head_lex_fn lex_target, lex_authority, lex_path, lex_version;

static int method_fault(struct head_parse *h, const uchar *start)
{
    const uchar *cur = start, *marker;
    /*!re2c
    eol {
        return bad(h, start, "empty line instead of a request line", "RFC 9112 2.2");
    }
    [ \t]            { return bad(h, start, "blank before the method", "RFC 9112 3"); }
    token eol        { return bad(h, start, "request line ends after the method", "RFC 9112 3"); }
    token? [^]       { return bad(h, cur - 1, "invalid character in the method", "RFC 9110 9.1"); }
    *                { return bad(h, start, "invalid method", "RFC 9110 9.1"); }
    */
}

int head_lex_method(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker;
    int id;
    /*!re2c
    "CONNECT "       { id = REQUEST_CONNECT; goto found; }
    "OPTIONS "       { id = REQUEST_OPTIONS; goto found; }
    token " "        { id = REQUEST_METHOD; goto found; }
    *                { return method_fault(h, start); }
    */
found:
    *t = token_of(start, cur - 1);
    return take(h, cur, lex_target, id);
}

static int target_fault(struct head_parse *h, const uchar *start)
{
    const uchar *cur = start, *marker;
    /*!re2c
    " " {
        return bad(h, start, "more than one blank before the target", "RFC 9112 3");
    }
    visible* eol     { return bad(h, cur - 1, "request line without a version", "RFC 9112 3"); }
    visible* "#"     { return bad(h, cur - 1, "fragment in the target", "RFC 9112 3.2"); }
    visible* [\x80-\xff] {
        return bad(h, cur - 1, "target has a byte that is not ASCII", "RFC 3986 2");
    }
    visible* [\x00-\x1f\x7f] {
        return bad(h, cur - 1, "target has a control character", "RFC 3986 2");
    }
    "/" visible* " " {
        return bad(h, start, "invalid character or percent-encoding in the path", "RFC 3986 3.3");
    }
    visible+ " "     { return bad(h, start, "target has none of the four forms", "RFC 9112 3.2"); }
    *                { return bad(h, start, "invalid target", "RFC 9112 3.2"); }
    */
}

static int lex_target(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker, *path_end;
    /*!stags:re2c format = "const uchar *@@;\n"; */
    /*!re2c
    abs_path @path_end query? " " {
        *t = token_two(start, path_end, *path_end == '?' ? path_end + 1 : NULL,
                       *path_end == '?' ? cur - 1 : NULL);
        return take(h, cur, lex_version, REQUEST_ABSOLUTE_PATH);
    }
    "* "             { *t = token_of(start, cur - 1);
                       return take(h, cur, lex_version, REQUEST_ASTERISK); }
    scheme "://"     { *t = token_of(start, cur - 3);
                       return take(h, cur, lex_authority, REQUEST_SCHEME); }
    auth_char+ " "   { *t = token_of(start, cur - 1);
                       return take(h, cur, lex_version, REQUEST_AUTHORITY); }
    *                { return target_fault(h, start); }
    */
}

/* RFC 3986 3.2, behind "://". */
static int lex_authority(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker;
    /*!re2c
    auth_char+       { *t = token_of(start, cur);
                       return take(h, cur, lex_path, REQUEST_AUTHORITY); }
    *                { return bad(h, start, "absolute target without a host", "RFC 9110 4.2.1"); }
    */
}

/* path-abempty [ "?" query ] of an absolute-form. */
static int lex_path(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker, *path_end;
    /*!stags:re2c format = "const uchar *@@;\n"; */
    /*!re2c
    abs_path? @path_end query? " " {
        *t = token_two(start, path_end, *path_end == '?' ? path_end + 1 : NULL,
                       *path_end == '?' ? cur - 1 : NULL);
        return take(h, cur, lex_version, REQUEST_PATH_ABEMPTY);
    }
    *                { return target_fault(h, start); }
    */
}

static int version_fault(struct head_parse *h, const uchar *start)
{
    const uchar *cur = start, *marker;
    /*!re2c
    "HTTP/" [0-9] "." [0-9] eol {
        head_refuse(h, 505, text_of(start), "HTTP version is not 1.x", "RFC 9110 15.6.6");
        return HEAD_TOKEN_BAD;
    }
    "HTTP/" [0-9] "." [0-9] [^] {
        return bad(h, cur - 1, "something follows the version", "RFC 9112 3");
    }
    " "              { return bad(h, start, "blank in or behind the target", "RFC 9112 3"); }
    eol              { return bad(h, start, "request line without a version", "RFC 9112 3"); }
    'http/'          { return bad(h, start, "malformed version", "RFC 9112 2.3"); }
    *                { return bad(h, start, "no version behind the target", "RFC 9112 3"); }
    */
}

static int lex_version(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker;
    /*!re2c
    "HTTP/1." [0-9] eol {
        if (!line_ends(h, cur))
            return HEAD_TOKEN_BAD;
        t->number = (uint32_t)(start[7] - '0');
        return take(h, cur, head_lex_field, REQUEST_HTTP_VERSION);
    }
    *                { return version_fault(h, start); }
    */
}

/* RFC 9112 4. */
int head_lex_status_line(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker, *status, *reason, *reason_end;
    /*!stags:re2c format = "const uchar *@@;\n"; */
    /*!re2c
    // RFC 9112 4; the blank before an empty reason phrase is often forgotten, and means nothing
    "HTTP/1." [0-9] " " @status [0-9]{3} (" " @reason text*)? @reason_end eol {
        if (!line_ends(h, cur))
            return HEAD_TOKEN_BAD;
        *t = reason ? token_two(status, status + 3, reason, reason_end)
                    : token_of(status, status + 3);
        t->number = (uint32_t)(start[7] - '0');
        return take(h, cur, head_lex_field, RESPONSE_STATUS_LINE);
    }
    "HTTP/1." [0-9] " " [0-9]{3} " " text* [^] {
        return bad(h, cur - 1, "control character in the reason phrase", "RFC 9112 4");
    }
    "HTTP/1." [0-9] " " { return bad(h, cur, "status is not three digits", "RFC 9112 4"); }
    "HTTP/" [02-9]   { return bad(h, start, "HTTP version is not 1.x", "RFC 9112 2.3"); }
    *                { return bad(h, start, "no valid status line", "RFC 9112 4"); }
    */
}

/* What is wrong with a line that is no field line. */
static int field_fault(struct head_parse *h, const uchar *start)
{
    const uchar *cur = start, *marker;
    /*!re2c
    [ \t] {
        return h->after_field ? bad(h, start, "folded field line", "RFC 9112 5.2")
                              : bad(h, start, "blank before the first field", "RFC 9112 2.2");
    }
    ":"                       { return bad(h, start, "empty field name", "RFC 9112 5"); }
    token [ \t]+ ":"          { return bad(h, cur - 1, "blank before the colon", "RFC 9112 5.1"); }
    token ":" text* [\r]      { return bad(h, cur - 1, "CR without LF", "RFC 9112 2.2"); }
    token ":" text* [\x00]    { return bad(h, cur - 1, "NUL in a field value", "RFC 9110 5.5"); }
    token ":" text* [\x01-\x1f\x7f] {
        return bad(h, cur - 1, "control character in a field value", "RFC 9110 5.5");
    }
    token eol                 { return bad(h, start, "field line without a colon", "RFC 9112 5"); }
    token? "\r"               { return bad(h, cur - 1, "CR without LF", "RFC 9112 2.2"); }
    token? [^] {
        return bad(h, cur - 1, "invalid character in a field name", "RFC 9110 5.1");
    }
    *                         { return bad(h, start, "invalid field line", "RFC 9112 5"); }
    */
}

/* Which byte of eight, as in memory, is the first that is not 0; at least not beyond it. */
static unsigned first_byte(uint64_t bytes)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? (unsigned)__builtin_ctzll(bytes) >> 3 : 0;
}

/* Goes over bytes of a field value sixteen at a time, up to the first control character: only a
 * short cut, the rules that follow decide. */
static const uchar *skip_text(const uchar *p, const uchar *end)
{
    typedef uchar block __attribute__((vector_size(16)));
    typedef uint64_t halves __attribute__((vector_size(16)));
    while (end - p >= 16) {
        block b;
        memcpy(&b, p, sizeof(b));
        halves control = (halves)((b < 0x20) | (b == 0x7f));
        if (control[0])
            return p + first_byte(control[0]);
        if (control[1])
            return p + 8 + first_byte(control[1]);
        p += sizeof(b);
    }
    return p;
}

int head_lex_field(struct head_parse *h, struct head_token *t)
{
    const uchar *start = (const uchar *)h->cur, *cur = start;
    const uchar *marker, *colon, *value, *value_end;
    /*!stags:re2c format = "const uchar *@@;\n"; */
    /*!re2c
    token @colon ":" ows { goto value; }
    eol              { return line_ends(h, cur) ? take(h, cur, head_lex_field, HEAD_TOKEN_END)
                                                : HEAD_TOKEN_BAD; }
    *                { return field_fault(h, start); }
    */
value:
    value = cur;
    cur = skip_text(cur, (const uchar *)h->end);
    /*!re2c
    text* @value_end eol { goto done; }
    *                { return field_fault(h, start); }
    */
done:
    if (!line_ends(h, cur))
        return HEAD_TOKEN_BAD;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    *t = token_two(start, colon, value, value_end);
    h->after_field = true;
    return take(h, cur, head_lex_field, RESPONSE_FIELD_LINE);
}

/* CGI: "HTTP/" cannot begin a field line, as '/' is no tchar. */
int head_lex_first_line(struct head_parse *h, struct head_token *t)
{
    static const struct slice http = SLICE_INIT("HTTP/");
    if (slice_starts(slice_of(h->cur, (size_t)(h->end - h->cur)), http))
        return head_lex_status_line(h, t);
    return head_lex_field(h, t);
}
