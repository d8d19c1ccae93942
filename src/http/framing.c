/* SPDX-License-Identifier: MIT */
#include "http/framing.h"

#include "base/num.h"

/* RFC 9112 6.1, 7. What the Transfer-Encoding lines of a message come to. */
static enum parse coding_check(const struct fields *fs, struct fault *f)
{
    static const struct slice chunked = SLICE_INIT("chunked");
    unsigned lines = 0, codings = 0, times_chunked = 0;
    bool last_chunked = false, exact = false;
    for (const struct field *line = fs->v; line < fields_end(fs); line++) {
        if (line->id != FIELD_TRANSFER_ENCODING)
            continue;
        struct slice list = line->value, coding;
        lines++;
        exact = slice_ieq(line->value, chunked);
        while (slice_next_token(&list, &coding)) {
            codings++;
            last_chunked = slice_ieq(coding, chunked);
            times_chunked += last_chunked;
        }
    }
    if (lines == 1 && exact)
        return PARSE_DONE;
    if (codings == 0)
        return fault_bad(f, 400, "Transfer-Encoding is empty", "RFC 9112 6.1");
    if (times_chunked > 1)
        return fault_bad(f, 400, "chunked is applied twice", "RFC 9112 6.1");
    if (times_chunked == 1 && !last_chunked)
        return fault_bad(f, 400, "chunked is not the last coding", "RFC 9112 6.3");
    if (times_chunked == codings)
        return fault_bad(f, 400, "Transfer-Encoding is spread or has empty elements",
                         "RFC 9112 6.1");
    return fault_bad(f, 501, "transfer coding is not implemented", "RFC 9112 6.1");
}

/* RFC 9112 6.2: one line, digits only. A list of equal values would be allowed to be taken as one;
 * who sends it is broken or means harm, and it is refused. */
static enum parse length_check(const struct fields *fs, uint64_t *length, struct fault *f)
{
    const struct field *found = NULL;
    for (const struct field *line = fs->v; line < fields_end(fs); line++) {
        if (line->id != FIELD_CONTENT_LENGTH)
            continue;
        if (found)
            return fault_bad(f, 400, "Content-Length is repeated", "RFC 9112 6.3");
        found = line;
    }
    if (!num_dec(found->value, length) || *length > INT64_MAX)
        return fault_bad(f, 400, "invalid Content-Length", "RFC 9110 8.6");
    return PARSE_DONE;
}

/* RFC 9112 6.3, rules 3 to 5, and what is left: kind stays BODY_NONE if no field speaks. */
static enum parse framing_of_fields(const struct fields *fs, uint8_t minor, struct framing *out,
                                    struct fault *f)
{
    bool coded = fields_has(fs, FIELD_TRANSFER_ENCODING);
    bool sized = fields_has(fs, FIELD_CONTENT_LENGTH);
    *out = (struct framing){.kind = BODY_NONE};
    if (sized && length_check(fs, &out->length, f) == PARSE_BAD)
        return PARSE_BAD;
    if (coded && sized)
        return fault_bad(f, 400, "Transfer-Encoding and Content-Length", "RFC 9112 6.3");
    if (coded && minor == 0)
        return fault_bad(f, 400, "Transfer-Encoding with HTTP/1.0", "RFC 9112 6.1");
    if (coded && coding_check(fs, f) == PARSE_BAD)
        return PARSE_BAD;
    if (coded)
        out->kind = BODY_CHUNKED;
    else if (sized)
        out->kind = BODY_LENGTH;
    return PARSE_DONE;
}

enum parse framing_of_request(const struct request_head *head, struct framing *out, struct fault *f)
{
    return framing_of_fields(&head->fields, head->minor, out, f);
}

enum parse framing_of_response(const struct response_head *head, enum method method,
                               struct framing *out, struct fault *f)
{
    uint16_t status = head->status;
    if (framing_of_fields(&head->fields, head->minor, out, f) == PARSE_BAD) {
        f->status = 502;
        return PARSE_BAD;
    }
    if (status == 101 || (method == METHOD_CONNECT && status / 100 == 2))
        *out = (struct framing){.kind = BODY_TUNNEL};
    else if (method == METHOD_HEAD || status / 100 == 1 || status == 204 || status == 304)
        *out = (struct framing){.kind = BODY_NONE};
    else if (out->kind == BODY_NONE)
        out->kind = BODY_CLOSE;
    return PARSE_DONE;
}
