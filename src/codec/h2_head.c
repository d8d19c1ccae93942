/* SPDX-License-Identifier: MIT */
#include "codec/h2_head.h"

#include "http/uri.h"

/* ---- one field after the other ---- */

static bool refuse(struct h2_section *s, uint16_t status, const char *what, const char *rule)
{
    if (!s->fault.status) /* the first one counts */
        s->fault = (struct fault){.status = status, .what = what, .rule = rule};
    return false;
}

static bool fits(struct h2_section *s, struct slice name, struct slice value)
{
    s->bytes += (uint32_t)(name.n + value.n + 4); /* as HTTP/1.1 would write it */
    if (s->fault.status)
        return false;
    if (s->bytes > s->limits->head_bytes)
        return refuse(s, 431, "head is too large", "RFC 6585 5");
    if (s->fields->n >= s->limits->fields)
        return refuse(s, 431, "too many fields", "RFC 6585 5");
    return true;
}

static void set_pseudo(struct h2_section *s, struct slice name, struct slice value)
{
    struct slice copy = arena_dup(s->arena, value);
    if (slice_eq(name, SLICE(":status")))
        s->status = copy;
    else if (slice_eq(name, SLICE(":method")))
        s->method = copy;
    else if (slice_eq(name, SLICE(":path")))
        s->path = copy;
    else if (slice_eq(name, SLICE(":authority")))
        s->authority = copy;
    else if (slice_eq(name, SLICE(":scheme")))
        s->scheme = copy;
    else if (slice_eq(name, SLICE(":protocol")))
        s->protocol = copy;
}

/* Known names get the spelling that HTTP/1.1 is used to. */
static void add_field(struct h2_section *s, struct slice name, struct slice value)
{
    enum field_id id = field_lookup(name);
    if (fields_has(s->fields, id) && (field_flags(id) & FIELD_SINGLE)) {
        refuse(s, 400, "field must not be repeated", "RFC 9110 5.3");
        return;
    }
    struct slice spelled = id == FIELD_OTHER ? arena_dup(s->arena, name) : field_text(id);
    s->has_priority |= id == FIELD_OTHER && slice_eq(name, SLICE("priority"));
    struct field *f = fields_add(s->fields, s->arena, id, spelled, arena_dup(s->arena, value));
    /* RFC 9110 6.5.1: what frames, routes or belongs to the connection is no trailer. */
    f->dropped = s->is_trailers && (field_flags(id) & (FIELD_HOP | FIELD_KEEP));
}

void h2_section_add(struct h2_section *s, struct slice name, struct slice value)
{
    if (!fits(s, name, value))
        return;
    if (name.n && name.p[0] == ':')
        set_pseudo(s, name, value);
    else
        add_field(s, name, value);
}

/* ---- all of them ---- */

static void add_own(struct h2_section *s, enum field_id id, struct slice value)
{
    fields_add(s->fields, s->arena, id, field_text(id), value);
}

/* RFC 9113 8.2.3: a cookie field may come apart, and is put together before it goes on. */
static void join_cookies(struct h2_section *s)
{
    size_t lines = 0, bytes = 0;
    for (unsigned i = 0; i < s->fields->n; i++) {
        const struct field *f = &s->fields->v[i];
        lines += f->id == FIELD_COOKIE;
        bytes += f->id == FIELD_COOKIE ? f->value.n + 2 : 0;
    }
    if (lines < 2)
        return;
    char *start = arena_alloc(s->arena, bytes), *p = start;
    for (unsigned i = 0; i < s->fields->n; i++) {
        const struct field *f = &s->fields->v[i];
        if (f->id == FIELD_COOKIE)
            p = slice_put(slice_put(p, f->value), SLICE("; "));
    }
    fields_expel(s->fields, field_text(FIELD_COOKIE));
    add_own(s, FIELD_COOKIE, slice_of(start, bytes - 2));
}

/* RFC 9113 8.3.1: the same as Host, if there are both; there must be one. */
static bool set_authority(struct h2_section *s)
{
    const struct field *host = fields_find(s->fields, FIELD_HOST);
    struct slice name;
    int port;
    if (!s->authority.n && !host)
        return refuse(s, 400, "neither :authority nor Host", "RFC 9113 8.3.1");
    if (s->authority.n && host && !slice_ieq(s->authority, host->value))
        return refuse(s, 400, ":authority and Host differ", "RFC 9113 8.3.1");
    if (!s->authority.n)
        s->authority = host->value;
    if (!uri_split_authority(s->authority, &name, &port))
        return refuse(s, 400, "invalid authority", "RFC 9110 4.2");
    if (!host)
        add_own(s, FIELD_HOST, s->authority);
    s->head->authority = s->authority;
    s->head->host = name;
    return true;
}

static bool set_target(struct h2_section *s)
{
    struct request_head *head = s->head;
    if (head->method == METHOD_CONNECT) {
        head->form = TARGET_AUTHORITY;
        head->target = s->authority;
        return true;
    }
    head->target = s->path;
    if (s->path.n > s->limits->target_bytes)
        return refuse(s, 414, "target is too long", "RFC 9110 15.5.15");
    if (!slice_eq(s->scheme, SLICE("http")) && !slice_eq(s->scheme, SLICE("https")))
        return refuse(s, 400, "scheme is neither http nor https", "RFC 9110 7.4");
    if (slice_eq(s->path, SLICE("*")) && head->method == METHOD_OPTIONS) {
        head->form = TARGET_ASTERISK;
        head->path = s->path;
        return true;
    }
    head->form = TARGET_ORIGIN;
    if (!uri_split_target(s->path, &head->path, &head->query))
        return refuse(s, 400, "invalid :path", "RFC 9113 8.3.1");
    head->has_query = head->query.p != NULL;
    return true;
}

/* RFC 4648 4, of sixteen bytes. */
static struct slice base64_of(struct arena *a, const unsigned char p[16])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(a, 24), *at = out;
    for (int i = 0; i < 18; i += 3) {
        uint32_t three = (uint32_t)p[i] << 16;
        three |= i + 1 < 16 ? (uint32_t)p[i + 1] << 8 : 0;
        three |= i + 2 < 16 ? p[i + 2] : 0;
        *at++ = digits[three >> 18];
        *at++ = digits[three >> 12 & 63];
        *at++ = i + 1 < 16 ? digits[three >> 6 & 63] : '=';
        *at++ = i + 2 < 16 ? digits[three & 63] : '=';
    }
    return slice_of(out, 24);
}

/* RFC 8441 5: what the GET of RFC 6455 4.1 says and an extended CONNECT has no need of. */
static void become_upgrade(struct h2_section *s, const unsigned char random[16])
{
    s->head->method = METHOD_GET;
    s->head->method_text = SLICE("GET");
    add_own(s, FIELD_CONNECTION, SLICE("upgrade"));
    add_own(s, FIELD_UPGRADE, s->protocol);
    const struct slice key = SLICE("Sec-WebSocket-Key");
    fields_expel(s->fields, key);
    fields_add(s->fields, s->arena, FIELD_OTHER, key, base64_of(s->arena, random));
}

static bool set_method(struct h2_section *s, const unsigned char random[16], bool *is_websocket)
{
    s->head->method_text = s->method;
    s->head->method = method_lookup(s->method);
    *is_websocket = s->protocol.n > 0;
    if (!s->protocol.n)
        return true;
    if (!slice_ieq(s->protocol, SLICE("websocket")))
        return refuse(s, 501, "extended CONNECT for an unknown protocol", "RFC 8441 4");
    become_upgrade(s, random);
    return true;
}

static bool set_framing(struct h2_section *s, bool is_end, bool is_tunnel, struct framing *framing)
{
    if (framing_of_request(s->head, framing, &s->fault) != PARSE_DONE)
        return false;
    if (is_tunnel && framing->kind != BODY_NONE)
        return refuse(s, 400, "Content-Length of a tunnel", "RFC 9110 9.3.6");
    if (is_end || is_tunnel || s->head->method == METHOD_CONNECT)
        *framing = (struct framing){.kind = BODY_NONE};
    else if (framing->kind == BODY_NONE)
        framing->kind = BODY_CHUNKED;
    return true;
}

enum parse h2_section_end(struct h2_section *s, bool is_end, const unsigned char random[16],
                          struct framing *framing, bool *is_websocket)
{
    s->head->minor = 1;
    s->head->is_h2 = true;
    if (fields_has(s->fields, FIELD_COOKIE))
        join_cookies(s);
    bool fine = set_method(s, random, is_websocket) && set_authority(s) && set_target(s) &&
                set_framing(s, is_end, *is_websocket, framing);
    return fine && !s->fault.status ? PARSE_DONE : PARSE_BAD;
}
