/* Authorities and paths. Slices of a target end anywhere, so these lexers see a NUL at the end of
 * the slice, and never read it. No rule takes a NUL.
 * SPDX-License-Identifier: MIT */
#include "http/uri_internal.h"

/*!re2c
    re2c:define:YYCTYPE     = "unsigned char";
    re2c:api                = custom;
    re2c:api:style          = free-form;
    re2c:define:YYPEEK      = "(cur < limit ? *cur : 0)";
    re2c:define:YYSKIP      = "++cur;";
    re2c:define:YYBACKUP    = "marker = cur;";
    re2c:define:YYRESTORE   = "cur = marker;";
    re2c:define:YYSTAGP     = "@@{tag} = cur;";
    re2c:define:YYSTAGN     = "@@{tag} = NULL;";
    re2c:define:YYSHIFTSTAG = "@@{tag} += @@{shift};";
    re2c:yyfill:enable      = 0;
    re2c:flags:bit-vectors  = 1;
    re2c:flags:tags         = 1;

    digit       = [0-9];
    hex         = [0-9A-Fa-f];
    // RFC 3986 3.2.2
    dec_octet   = digit | [1-9] digit | "1" digit{2} | "2" [0-4] digit | "25" [0-5];
    ipv4        = dec_octet "." dec_octet "." dec_octet "." dec_octet;
    h16         = hex{1,4};
    ls32        = h16 ":" h16 | ipv4;
    ipv6        =                            (h16 ":"){6} ls32
                |                       "::" (h16 ":"){5} ls32
                | (               h16)? "::" (h16 ":"){4} ls32
                | ((h16 ":"){0,1} h16)? "::" (h16 ":"){3} ls32
                | ((h16 ":"){0,2} h16)? "::" (h16 ":"){2} ls32
                | ((h16 ":"){0,3} h16)? "::"  h16 ":"     ls32
                | ((h16 ":"){0,4} h16)? "::"              ls32
                | ((h16 ":"){0,5} h16)? "::"              h16
                | ((h16 ":"){0,6} h16)? "::";
    // reg-name, but for sub-delims and percent-encoding: no name that resolves has them, and a
    // comma would let two Host fields pass as one
    name        = [-A-Za-z0-9._~]+;
    // RFC 3986 3.2.3
    port        = digit*;
*/

bool uri_authority_lex(struct slice authority, struct slice *host, struct slice *port)
{
    const unsigned char *cur = (const unsigned char *)authority.p, *limit = cur + authority.n;
    const unsigned char *marker, *host_start, *host_end, *port_start;
    /*!stags:re2c format = "const unsigned char *@@;\n"; */
    /*!re2c
    @host_start name @host_end (":" @port_start port)?         { goto found; }
    "[" @host_start ipv6 @host_end "]" (":" @port_start port)? { goto found; }
    *                                                          { return false; }
    */
found:
    *host = slice_of(host_start, (size_t)(host_end - host_start));
    *port = port_start ? slice_of(port_start, (size_t)(cur - port_start)) : SLICE_NONE;
    return cur == limit;
}

enum path_token uri_path_lex(struct slice *path, struct slice *token)
{
    const unsigned char *start = (const unsigned char *)path->p, *cur = start;
    const unsigned char *limit = start + path->n, *marker;
    enum path_token found;
    /*!re2c
    ("/" | "%2" [Ff])+ { found = PATH_SLASH; goto done; }
    [^/%\x00]+         { found = PATH_TEXT; goto done; }
    "%00"              { return PATH_BAD; }
    "%" hex{2}         { found = PATH_ENCODED; goto done; }
    *                  { return start == limit ? PATH_END : PATH_BAD; }
    */
done:
    *token = slice_of(start, (size_t)(cur - start));
    *path = slice_skip(*path, token->n);
    return found;
}

/* RFC 3986 3.3 and 3.4, with what browsers send raw (URL Standard); as in a request line. */
bool uri_target_lex(struct slice target, struct slice *path, struct slice *query)
{
    const unsigned char *start = (const unsigned char *)target.p, *cur = start;
    const unsigned char *limit = cur + target.n, *marker, *path_end;
    /*!stags:re2c format = "const unsigned char *@@;\n"; */
    /*!re2c
    path_char  = [-A-Za-z0-9._~!$&'()*+,;=:@[\]^|] | "%" hex hex;
    query_char = [!-~] \ ["#<>];
    "/" ("/" | path_char)* @path_end ("?" query_char*)? { goto whole; }
    *                                                   { return false; }
    */
whole:
    *path = slice_of(start, (size_t)(path_end - start));
    *query = path_end < cur ? slice_of(path_end + 1, (size_t)(cur - path_end - 1)) : SLICE_NONE;
    return cur == limit;
}
