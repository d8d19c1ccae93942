/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include "base/num.h"
#include "http/chunk_line.h"

/* A chunk line is a size of at most 16 digits and extensions, which nobody uses: RFC 9112 7.1.1
 * asks to limit them for a line, and for the whole body. */
enum { LINE_MAX_BYTES = 4096, EXT_MAX_BYTES = 16384 };

void chunked_init(struct chunked *c)
{
    *c = (struct chunked){.state = CHUNKED_LINE};
}

static struct slice take(struct slice *in, size_t n)
{
    struct slice taken = slice_first(*in, n);
    *in = slice_skip(*in, n);
    return taken;
}

/* RFC 9112 7.1: chunk-size [ chunk-ext ] CRLF. Answers PARSE_DONE when the line has been read. */
static enum parse feed_line(struct chunked *c, struct slice *in, struct fault *f)
{
    struct slice fresh = slice_skip(*in, c->scanned);
    size_t lf = c->scanned + slice_find(fresh, '\n');
    if (lf >= LINE_MAX_BYTES)
        return fault_bad(f, 400, "chunk line is too long", "RFC 9112 7.1.1");
    c->scanned = lf;
    if (lf == in->n)
        return PARSE_MORE;
    struct chunk_line line;
    if (chunk_line_parse(slice_first(*in, lf + 1), &line, f) == PARSE_BAD)
        return PARSE_BAD;
    c->ext_bytes += (uint32_t)line.ext_bytes;
    if (c->ext_bytes > EXT_MAX_BYTES)
        return fault_bad(f, 400, "too many chunk extensions", "RFC 9112 7.1.1");
    take(in, lf + 1);
    c->scanned = 0;
    c->left = line.size;
    c->state = line.size ? CHUNKED_DATA : CHUNKED_TRAILERS;
    return PARSE_DONE;
}

uint64_t chunked_plain_left(const struct chunked *c)
{
    return c->state == CHUNKED_DATA ? c->left : 0;
}

void chunked_plain_taken(struct chunked *c, uint64_t n)
{
    c->left -= n;
    if (c->left == 0)
        c->state = CHUNKED_DATA_END;
}

static void feed_data(struct chunked *c, struct slice *in, struct slice *data)
{
    *data = take(in, c->left < in->n ? (size_t)c->left : in->n);
    chunked_plain_taken(c, data->n);
}

static enum parse feed_data_end(struct chunked *c, struct slice *in, struct fault *f)
{
    if (in->n >= 1 && in->p[0] != '\r')
        return fault_bad(f, 400, "chunk data is not followed by CRLF", "RFC 9112 7.1");
    if (in->n >= 2 && in->p[1] != '\n')
        return fault_bad(f, 400, "chunk data is not followed by CRLF", "RFC 9112 7.1");
    if (in->n < 2)
        return PARSE_MORE;
    take(in, 2);
    c->state = CHUNKED_LINE;
    return PARSE_DONE;
}

/* RFC 9112 7.1.2. trailers_parse looks at the fields; an empty section must be right already. */
static enum parse feed_trailers(struct chunked *c, struct slice *in, struct slice *trailers,
                                const struct head_limits *limits, struct fault *f)
{
    size_t end;
    enum parse found = head_find_end(*in, &c->scanned, &end);
    if ((found == PARSE_DONE ? end : in->n) > limits->head_bytes)
        return fault_bad(f, 431, "trailer section is too large", "RFC 6585 5");
    if (found != PARSE_DONE)
        return PARSE_MORE;
    if (end == 1)
        return fault_bad(f, 400, "line ends with LF alone", "RFC 9112 2.2");
    *trailers = take(in, end);
    c->state = CHUNKED_DONE;
    return PARSE_DONE;
}

enum parse chunked_feed(struct chunked *c, struct slice *in, struct slice *data,
                        struct slice *trailers, const struct head_limits *limits, struct fault *f)
{
    enum parse step = PARSE_DONE;
    *data = *trailers = SLICE_NONE;
    while (step == PARSE_DONE) {
        switch (c->state) {
        case CHUNKED_LINE: step = feed_line(c, in, f); break;
        case CHUNKED_DATA: feed_data(c, in, data); return PARSE_MORE;
        case CHUNKED_DATA_END: step = feed_data_end(c, in, f); break;
        case CHUNKED_TRAILERS: step = feed_trailers(c, in, trailers, limits, f); break;
        case CHUNKED_DONE: return PARSE_DONE;
        }
    }
    return step;
}

size_t chunked_put_line(char *p, uint64_t n)
{
    size_t digits = num_put_hex(p, n);
    p[digits] = '\r';
    p[digits + 1] = '\n';
    return digits + 2;
}
