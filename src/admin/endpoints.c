/* SPDX-License-Identifier: MIT */
#include "admin/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

static const struct endpoint_row {
    enum method method;
    const char *method_name, *pattern;
    endpoint_fn *answer;
    const char *help;
} endpoints[] = {
#define ENDPOINT(method, pattern, function, help)                                                  \
    {METHOD_##method, #method, pattern, answer_##function, help},
#include "admin/endpoints.def"
#undef ENDPOINT
};

enum { ENDPOINTS = sizeof(endpoints) / sizeof(endpoints[0]) };

/* ---- requests ---- */

/* Takes the next segment off a path that begins with '/'. */
static struct slice take_segment(struct slice *path)
{
    *path = slice_skip(*path, 1);
    struct slice segment = slice_first(*path, slice_find(*path, '/'));
    *path = slice_skip(*path, segment.n);
    return segment;
}

/* Percent-decoded, with a NUL behind it; false: it is no valid encoding, or has a NUL in it. */
static bool decode(struct slice raw, struct arena *arena, struct slice *out)
{
    char *p = arena_alloc(arena, raw.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        uint64_t v = (unsigned char)raw.p[i];
        if (raw.p[i] == '%') {
            if (i + 2 >= raw.n || !num_hex(slice_of(raw.p + i + 1, 2), &v) || v == 0)
                return false;
            i += 2;
        }
        p[n++] = (char)v;
    }
    p[n] = '\0';
    *out = slice_of(p, n);
    return true;
}

static bool matches(const char *pattern, struct slice path, struct arena *arena, struct slice *args)
{
    struct slice left = slice_str(pattern);
    size_t count = 0;
    while (left.n && path.n) {
        struct slice want = take_segment(&left), have = take_segment(&path);
        if (slice_eq(want, SLICE("*"))) {
            if (!have.n || !decode(have, arena, &args[count++]))
                return false;
        } else if (!slice_eq(want, have)) {
            return false;
        }
    }
    return !left.n && !path.n;
}

static bool is_asked_by(const struct endpoint_row *e, enum method method)
{
    return e->method == method || (e->method == METHOD_GET && method == METHOD_HEAD);
}

void endpoints_handle(struct admin *a, struct admin_request *r)
{
    struct call c = {.admin = a, .request = r, .conn = r->conn};
    bool known = false;
    for (size_t i = 0; i < ENDPOINTS; i++) {
        if (!matches(endpoints[i].pattern, r->head->path, r->arena, c.args))
            continue;
        known = true;
        if (!is_asked_by(&endpoints[i], r->head->method))
            continue;
        /* The page has no secrets: it asks for the token by itself. */
        if (!r->has_token && endpoints[i].answer != answer_page)
            admin_refuse(r->conn, 401, "a token is needed: Authorization: Bearer TOKEN");
        else
            endpoints[i].answer(&c);
        return;
    }
    if (known)
        admin_refuse(r->conn, 405, "this is asked for with another method");
    else
        admin_refuse(r->conn, 404, "there is nothing here; GET /endpoints lists what there is");
}

uint64_t query_number(const struct call *c, const char *name, uint64_t otherwise)
{
    struct slice query = c->request->head->query;
    while (query.n) {
        struct slice pair = slice_first(query, slice_find(query, '&'));
        struct slice key = slice_first(pair, slice_find(pair, '='));
        query = slice_skip(query, pair.n < query.n ? pair.n + 1 : pair.n);
        if (!slice_eq(key, slice_str(name)))
            continue;
        uint64_t v;
        return key.n < pair.n && num_dec(slice_skip(pair, key.n + 1), &v) ? v : UINT64_MAX;
    }
    return otherwise;
}

/* ---- answers ---- */

json_t *json_text(struct slice s)
{
    json_t *json = json_stringn(s.n ? s.p : "", s.n);
    if (json)
        return json;
    char *copy = mem_dup(s.p, s.n);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    json = json_stringn(copy, s.n);
    free(copy);
    return json;
}

void reply_json(struct call *c, uint16_t status, json_t *json)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(json);
    if (!text) {
        admin_refuse(c->conn, 500, "the answer has bytes in it that are no UTF-8");
        return;
    }
    size_t n = strlen(text);
    text = mem_grow(text, n + 1, 1);
    text[n] = '\n'; /* in place of the NUL */
    admin_reply(c->conn, status, "application/json", text, n + 1);
}

void answer_endpoints(struct call *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ENDPOINTS; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "method", endpoints[i].method_name,
                                        "path", endpoints[i].pattern, "help", endpoints[i].help));
    reply_json(c, 200, json_pack("{s:o}", "endpoints", list));
}
