/* Reads a whole chunk line by one rule. The line ends in LF and no rule goes beyond an LF.
 * SPDX-License-Identifier: MIT */
#include "http/chunk_line.h"

#include "base/num.h"

/*!re2c
    re2c:define:YYCTYPE     = "unsigned char";
    re2c:define:YYCURSOR    = cur;
    re2c:define:YYMARKER    = marker;
    re2c:yyfill:enable      = 0;
    re2c:flags:bit-vectors  = 1;
    re2c:flags:tags         = 1;

    hex           = [0-9A-Fa-f];
    tchar         = [-!#$%&'*+.^_`|~0-9A-Za-z];
    token         = tchar+;
    bws           = [ \t]*;
    // RFC 9110 5.6.4
    qdtext        = [\t \x21\x23-\x5b\x5d-\x7e\x80-\xff];
    quoted_pair   = "\\" [\t\x20-\x7e\x80-\xff];
    quoted_string = ["] (qdtext | quoted_pair)* ["];
    // RFC 9112 7.1.1
    chunk_ext     = (bws ";" bws token (bws "=" bws (token | quoted_string))?)*;
*/

static enum parse bad(struct fault *f, size_t offset, const char *what, const char *rule)
{
    fault_bad(f, 400, what, rule);
    f->offset = (uint32_t)offset;
    return PARSE_BAD;
}

static enum parse line_fault(struct slice line, struct fault *f)
{
    const unsigned char *start = (const unsigned char *)line.p, *cur = start, *marker;
    /*!re2c
    "\r"? "\n"        { return bad(f, 0, "empty chunk line", "RFC 9112 7.1"); }
    hex+ "\n" {
        return bad(f, (size_t)(cur - start), "line ends with LF alone", "RFC 9112 2.2");
    }
    hex+ chunk_ext "\n" {
        return bad(f, (size_t)(cur - start), "line ends with LF alone", "RFC 9112 2.2");
    }
    hex+ bws ";" {
        return bad(f, (size_t)(cur - start), "malformed chunk extension", "RFC 9112 7.1.1");
    }
    hex+ {
        return bad(f, (size_t)(cur - start), "something follows the chunk size", "RFC 9112 7.1");
    }
    *                 { return bad(f, 0, "invalid chunk size", "RFC 9112 7.1"); }
    */
}

enum parse chunk_line_parse(struct slice line, struct chunk_line *out, struct fault *f)
{
    const unsigned char *start = (const unsigned char *)line.p, *cur = start, *marker, *size_end;
    /*!stags:re2c format = "const unsigned char *@@;\n"; */
    /*!re2c
    hex+ @size_end chunk_ext "\r\n" { goto found; }
    *                               { return line_fault(line, f); }
    */
found:
    out->ext_bytes = (size_t)(cur - size_end) - 2;
    if (!num_hex(slice_of(start, (size_t)(size_end - start)), &out->size) || out->size > INT64_MAX)
        return bad(f, 0, "chunk size is too large", "RFC 9112 7.1");
    return PARSE_DONE;
}
