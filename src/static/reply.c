/* SPDX-License-Identifier: MIT */
#include "static/reply.h"

#include "base/num.h"
#include "base/text.h"
#include "http/date.h"

enum { NS = 1000000000, SETTLED_S = 2 };

/* ---- validators ---- */

static uint64_t length_of(const struct representation *rep)
{
    return rep->file->info.size;
}

/* What changed a moment ago may change again without its time showing it: weak until it has settled
 * (RFC 9110 8.8.1). */
static struct slice make_etag(const struct file_info *info, struct slice coding, bool is_settled,
                              struct arena *a)
{
    char *start = arena_alloc(a, 2 * NUM_HEX_MAX + coding.n + 6), *p = start;
    p = slice_put(p, is_settled ? SLICE("\"") : SLICE("W/\""));
    p += num_put_hex(p, (uint64_t)info->mtime_ns);
    *p++ = '-';
    p += num_put_hex(p, info->size);
    if (coding.n)
        *p++ = '-';
    p = slice_put(p, coding);
    *p++ = '"';
    return slice_of(start, (size_t)(p - start));
}

static void find_validators(struct representation *rep, const struct fields *fields, int64_t now_s,
                            struct arena *a)
{
    const struct file_info *info = &rep->file->info;
    struct validators *v = &rep->validators;
    int64_t modified_s = info->mtime_ns / NS;
    v->modified_strong = modified_s < now_s - SETTLED_S;
    v->modified_s = modified_s < now_s ? modified_s : now_s; /* RFC 9110 8.8.2.1 */
    if (rep->is_fleeting)
        v->modified_s = MODIFIED_UNKNOWN;
    v->etag = fields_has(fields, FIELD_ETAG) ? fields_value(fields, FIELD_ETAG)
              : rep->is_fleeting             ? SLICE_NONE
                                             : make_etag(info, rep->coding, v->modified_strong, a);
    if (fields_has(fields, FIELD_LAST_MODIFIED) &&
        !date_parse(fields_value(fields, FIELD_LAST_MODIFIED), &v->modified_s))
        v->modified_s = MODIFIED_UNKNOWN;
}

/* ---- what to answer ---- */

static uint16_t decide_range(struct representation *rep, const struct request_head *req)
{
    if (!rep->ranges || req->method != METHOD_GET || !fields_has(&req->fields, FIELD_RANGE) ||
        !condition_allows_range(&req->fields, &rep->validators))
        return 200;
    struct slice value = fields_value(&req->fields, FIELD_RANGE);
    switch (range_parse(value, length_of(rep), &rep->parts)) {
    case RANGE_IGNORE: return 200;
    case RANGE_UNSATISFIABLE: return 416;
    case RANGE_SATISFIABLE: return rep->parts.n <= rep->ranges ? 206 : 200;
    }
    return 200;
}

uint16_t reply_decide(struct representation *rep, const struct request_head *req,
                      const struct fields *fields, int64_t now_s, struct arena *a)
{
    find_validators(rep, fields, now_s, a);
    switch (condition_check(&req->fields, req->method, &rep->validators)) {
    case CONDITION_MET: return decide_range(rep, req);
    case CONDITION_NOT_MODIFIED: return 304;
    case CONDITION_FAILED: return 412;
    }
    return 200;
}

/* ---- fields ---- */

static void add(struct fields *fields, struct arena *a, enum field_id id, struct slice value)
{
    if (value.n && !fields_has(fields, id))
        fields_add(fields, a, id, field_text(id), value);
}

static struct slice date_text(int64_t wall_s, struct arena *a)
{
    char *p = arena_alloc(a, DATE_LEN);
    date_put(p, wall_s);
    return slice_of(p, DATE_LEN);
}

static void add_validators(const struct representation *rep, struct fields *fields, struct arena *a)
{
    add(fields, a, FIELD_ETAG, rep->validators.etag);
    if (!fields_has(fields, FIELD_LAST_MODIFIED) && rep->validators.modified_s >= 0)
        add(fields, a, FIELD_LAST_MODIFIED, date_text(rep->validators.modified_s, a));
    add(fields, a, FIELD_CACHE_CONTROL, rep->cache_control);
    if (rep->varies)
        add(fields, a, FIELD_VARY, SLICE("Accept-Encoding"));
}

/* RFC 9110 14.4: "bytes 0-499/1234", "bytes * /1234". */
enum { CONTENT_RANGE_MAX = 3 * NUM_DEC_MAX + 8 };

static void put_content_range(struct text *t, const struct range *range, uint64_t length)
{
    text_lit(t, "bytes ");
    if (range) {
        text_dec(t, range->first);
        text_char(t, '-');
        text_dec(t, range->last);
    } else {
        text_char(t, '*');
    }
    text_char(t, '/');
    text_dec(t, length);
}

static void add_content_range(struct fields *fields, const struct range *range, uint64_t length,
                              struct arena *a)
{
    struct text t = text_of(arena_alloc(a, CONTENT_RANGE_MAX), CONTENT_RANGE_MAX);
    put_content_range(&t, range, length);
    add(fields, a, FIELD_CONTENT_RANGE, text_slice(&t));
}

/* ---- bodies ---- */

/* Small files from memory: they go out together with the head. */
static void put_part(const struct representation *rep, struct chain *body, uint64_t first,
                     uint64_t n)
{
    struct buf *content = n ? file_content(rep->file, rep->cache_conf) : NULL;
    if (!content) {
        chain_put_file(body, &rep->file->source, (off_t)first, (size_t)n);
        return;
    }
    chain_put(body, content, slice_of(content->data + first, (size_t)n));
    buf_unref(content);
}

static void put_range(const struct representation *rep, struct chain *body,
                      const struct range *range)
{
    put_part(rep, body, range->first, range->last - range->first + 1);
}

/* RFC 9110 14.6 */
static void put_multipart(const struct representation *rep, struct fields *fields,
                          struct chain *body, struct arena *a)
{
    enum { BOUNDARY = TEXT_ID_LEN, FIXED = 128 };
    struct slice type = fields_value(fields, FIELD_CONTENT_TYPE);
    struct text boundary = text_of(arena_alloc(a, BOUNDARY), BOUNDARY);
    text_id(&boundary, rep->boundary);
    for (unsigned i = 0; i < rep->parts.n; i++) {
        size_t room = FIXED + CONTENT_RANGE_MAX + type.n;
        struct text t = text_of(arena_alloc(a, room), room);
        text_lit(&t, "\r\n--");
        text_put(&t, text_slice(&boundary));
        if (type.n) {
            text_lit(&t, "\r\nContent-Type: ");
            text_put(&t, type);
        }
        text_lit(&t, "\r\nContent-Range: ");
        put_content_range(&t, &rep->parts.v[i], length_of(rep));
        text_lit(&t, "\r\n\r\n");
        chain_copy(body, text_slice(&t));
        put_range(rep, body, &rep->parts.v[i]);
    }
    chain_copy(body,
               arena_printf(a, "\r\n--" SLICE_FMT "--\r\n", SLICE_ARG(text_slice(&boundary))));
    fields_drop(fields, FIELD_CONTENT_TYPE);
    add(fields, a, FIELD_CONTENT_TYPE,
        arena_printf(a, "multipart/byteranges; boundary=" SLICE_FMT,
                     SLICE_ARG(text_slice(&boundary))));
}

static void fill_partial(const struct representation *rep, struct fields *fields,
                         struct chain *body, struct arena *a)
{
    if (rep->parts.n > 1) {
        put_multipart(rep, fields, body, a);
        return;
    }
    add_content_range(fields, &rep->parts.v[0], length_of(rep), a);
    put_range(rep, body, &rep->parts.v[0]);
}

void reply_fill(const struct representation *rep, uint16_t status, struct fields *fields,
                struct chain *body, struct arena *a)
{
    if (status == 416)
        add_content_range(fields, NULL, length_of(rep), a);
    if (status == 412 || status == 416)
        return;
    add_validators(rep, fields, a);
    if (status == 304)
        return;
    add(fields, a, FIELD_CONTENT_TYPE, rep->type);
    add(fields, a, FIELD_CONTENT_ENCODING, rep->coding);
    if (rep->ranges)
        add(fields, a, FIELD_ACCEPT_RANGES, SLICE("bytes"));
    if (status == 206)
        fill_partial(rep, fields, body, a);
    else
        put_part(rep, body, 0, length_of(rep));
}
