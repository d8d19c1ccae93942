/* SPDX-License-Identifier: MIT */
#include "core/forward.h"

#include "base/num.h"
#include "base/text.h"
#include "core/answer.h"
#include "core/exchange.h"
#include "core/worker.h"
#include "http/percent.h"
#include "net/tls.h"

static void drop_named(struct fields *fields, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++) {
        struct field *f = &fields->v[i];
        if (slice_ieq(f->name, name) && !(field_flags(f->id) & FIELD_KEEP))
            f->dropped = true;
    }
}

/* Fields that the Connection field names are hop-by-hop (RFC 9110 7.6.1), but a peer cannot have
 * fields removed by it that frame or route the message, nor what we have added to the count that
 * came from it: who it has proved to be, say. */
static void drop_nominated(struct fields *fields, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (fields->v[i].id != FIELD_CONNECTION)
            continue;
        struct slice list = fields->v[i].value, name;
        while (slice_next_token(&list, &name))
            drop_named(fields, count, name);
    }
}

static void drop_hop_by_hop(struct fields *fields, unsigned count)
{
    if (fields_has(fields, FIELD_CONNECTION))
        drop_nominated(fields, count);
    fields_drop_hop_by_hop(fields);
}

static void add(struct exchange *x, struct fields *fields, enum field_id id, struct slice value)
{
    fields_add(fields, &x->arena, id, field_text(id), value);
}

/* Requests in a tunnel are routed by nobody and let in by nobody: a tunnel is not for HTTP. */
static bool is_http(struct slice protocol)
{
    static const struct slice names[] = {SLICE_INIT("h2c"), SLICE_INIT("h2"), SLICE_INIT("h3"),
                                         SLICE_INIT("HTTP"), SLICE_INIT("TLS")};
    struct slice name = slice_first(protocol, slice_find(protocol, '/'));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_ieq(name, names[i]))
            return true;
    return false;
}

/* RFC 9112 7.8, 9110 7.8: the last hop's wish; ours towards the backend is made anew. */
static struct slice wanted_upgrade(struct exchange *x)
{
    const struct request_head *req = &x->req;
    if (req->minor < 1 || !fields_has(&req->fields, FIELD_UPGRADE) ||
        !fields_has_token(&req->fields, FIELD_CONNECTION, SLICE("upgrade")))
        return SLICE_NONE;
    struct slice list = fields_value(&req->fields, FIELD_UPGRADE), protocol;
    char *start = arena_alloc(&x->arena, list.n * 2 + 1), *p = start;
    while (slice_next_token(&list, &protocol))
        if (!is_http(protocol))
            p = slice_put(slice_put(p, p > start ? SLICE(", ") : SLICE("")), protocol);
    return slice_of(start, (size_t)(p - start));
}

static bool is_token_text(struct slice s)
{
    return s.n && slice_find(s, ':') == s.n && slice_find(s, '[') == s.n;
}

/* RFC 7239 4: a value that is no token is quoted; addresses of IPv6 stand in brackets (6). */
static char *put_forwarded_value(char *p, struct slice value, bool v6)
{
    bool quoted = v6 || !is_token_text(value);
    if (quoted)
        *p++ = '"';
    if (v6)
        *p++ = '[';
    p = slice_put(p, value);
    if (v6)
        *p++ = ']';
    if (quoted)
        *p++ = '"';
    return p;
}

static struct slice forwarded(struct exchange *x, struct slice before)
{
    struct slice host = x->req.authority, client = x->peer_text;
    char *start = arena_alloc(&x->arena, before.n + host.n + client.n + 49);
    char *p = start;
    if (before.n) {
        p = slice_put(p, before);
        p = slice_put(p, SLICE(", "));
    }
    p = slice_put(p, SLICE("for="));
    bool known = client.n && x->peer->sa_family != AF_UNIX;
    p = put_forwarded_value(p, known ? client : SLICE("unknown"),
                            known && x->peer->sa_family == AF_INET6 &&
                                slice_find(client, ':') < client.n);
    if (host.n) {
        p = slice_put(p, SLICE(";host="));
        p = put_forwarded_value(p, host, false);
    }
    p = slice_put(p, x->https ? SLICE(";proto=https") : SLICE(";proto=http"));
    return slice_of(start, (size_t)(p - start));
}

/* All lines of a list-valued field as one (RFC 9110 5.3). */
static struct slice joined(struct exchange *x, enum field_id id)
{
    struct slice all = SLICE_NONE;
    const struct fields *fields = &x->req.fields;
    for (unsigned i = 0; fields_has(fields, id) && i < fields->n; i++) {
        struct slice value = fields->v[i].value;
        if (fields->v[i].id != id || fields->v[i].dropped || !value.n)
            continue;
        if (!all.n) {
            all = value;
            continue;
        }
        char *p = arena_alloc(&x->arena, all.n + value.n + 2);
        slice_put(slice_put(slice_put(p, all), SLICE(", ")), value);
        all = slice_of(p, all.n + value.n + 2);
    }
    return all;
}

static struct slice appended(struct exchange *x, struct slice list, struct slice value)
{
    if (!list.n)
        return value;
    char *p = arena_alloc(&x->arena, list.n + value.n + 2);
    slice_put(slice_put(slice_put(p, list), SLICE(", ")), value);
    return slice_of(p, list.n + value.n + 2);
}

/* Where the application is mounted, for those that make links: what those before us have taken off
 * the path stands in front. */
static void add_prefix(struct exchange *x, struct fields *fields)
{
    struct slice before = fields_value(fields, FIELD_X_FORWARDED_PREFIX);
    struct slice own = percent_encode(x->mount.prefix, PERCENT_PATH, &x->arena);
    fields_drop(fields, FIELD_X_FORWARDED_PREFIX);
    add(x, fields, FIELD_X_FORWARDED_PREFIX,
        arena_printf(&x->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(before), SLICE_ARG(own)));
}

/* RFC 9440 2.1: Base64 between colons. */
static struct slice byte_sequence(struct exchange *x, struct slice base64)
{
    char *start = arena_alloc(&x->arena, base64.n + 2);
    char *p = slice_put(start, SLICE(":"));
    p = slice_put(slice_put(p, base64), SLICE(":"));
    return slice_of(start, (size_t)(p - start));
}

/* Nobody but us, or a proxy that is trusted, may say who a client has proved to be (RFC 9440 4). */
static void add_client_cert(struct exchange *x, bool trusted)
{
    static const enum field_id ids[] = {FIELD_CLIENT_CERT, FIELD_CLIENT_CERT_CHAIN,
                                        FIELD_X_CLIENT_CERT_SUBJECT, FIELD_X_CLIENT_CERT_SHA256};
    struct fields *fields = &x->req.fields;
    const struct tls_peer *peer = x->tls_peer;
    for (size_t i = 0; (!trusted || peer) && i < sizeof(ids) / sizeof(ids[0]); i++)
        fields_drop(fields, ids[i]);
    if (!peer)
        return;
    add(x, fields, FIELD_CLIENT_CERT, byte_sequence(x, peer->certificate));
    add(x, fields, FIELD_X_CLIENT_CERT_SUBJECT, peer->subject);
    add(x, fields, FIELD_X_CLIENT_CERT_SHA256, peer->fingerprint);
}

/* What the client says of those before it counts only if the client is trusted; else it is removed,
 * so that nobody can pretend to be somebody else. */
static void add_forwarded(struct exchange *x)
{
    const struct gateway_conf *conf = &x->worker->snapshot->gateway;
    struct fields *fields = &x->req.fields;
    bool trusted = conf->trusted_count && cidr_any_has(conf->trusted, conf->trusted_count, x->peer);
    struct slice list = trusted ? joined(x, FIELD_X_FORWARDED_FOR) : SLICE_NONE;
    struct slice elements = trusted ? joined(x, FIELD_FORWARDED) : SLICE_NONE;
    fields_drop(fields, FIELD_X_FORWARDED_FOR);
    fields_drop(fields, FIELD_FORWARDED);
    if (!trusted) {
        fields_drop(fields, FIELD_X_FORWARDED_PROTO);
        fields_drop(fields, FIELD_X_FORWARDED_HOST);
        fields_drop(fields, FIELD_X_FORWARDED_PREFIX);
    }
    if (x->mount.prefix.n)
        add_prefix(x, fields);
    add_client_cert(x, trusted);
    struct slice client = x->peer_text.n ? x->peer_text : SLICE("unknown");
    add(x, fields, FIELD_X_FORWARDED_FOR, appended(x, list, client));
    if (!fields_find(fields, FIELD_X_FORWARDED_PROTO))
        add(x, fields, FIELD_X_FORWARDED_PROTO, x->https ? SLICE("https") : SLICE("http"));
    if (x->req.authority.n && !fields_find(fields, FIELD_X_FORWARDED_HOST))
        add(x, fields, FIELD_X_FORWARDED_HOST, x->req.authority);
    add(x, fields, FIELD_FORWARDED, forwarded(x, elements));
}

static struct slice minor_text(uint8_t minor)
{
    return minor ? SLICE("1.1") : SLICE("1.0");
}

/* RFC 9110 7.6.3. */
static void add_via(struct exchange *x, struct fields *fields, struct slice version)
{
    struct slice name = x->worker->snapshot->gateway.name;
    char *start = arena_alloc(&x->arena, name.n + version.n + 1);
    char *p = slice_put(start, version);
    *p++ = ' ';
    p = slice_put(p, name);
    add(x, fields, FIELD_VIA, slice_of(start, (size_t)(p - start)));
}

static void add_request_id(struct exchange *x)
{
    if (fields_find(&x->req.fields, FIELD_X_REQUEST_ID))
        return;
    struct text id = text_of(arena_alloc(&x->arena, TEXT_ID_LEN), TEXT_ID_LEN);
    text_id(&id, x->id);
    add(x, &x->req.fields, FIELD_X_REQUEST_ID, text_slice(&id));
}

/* We are the final recipient, and have no methods of our own to tell of. */
static void answer_last_hop(struct exchange *x)
{
    if (x->req.method == METHOD_TRACE) {
        exchange_fail(x, 501, "a TRACE that ends here is not answered", "RFC 9110 7.6.2");
    } else if (answer_skip_body(x)) {
        answer_begin(x, 204);
        answer_send(x, "no hop is left (Max-Forwards)");
    }
}

bool forward_counts_hop(struct exchange *x)
{
    struct request_head *req = &x->req;
    bool is_counted = req->method == METHOD_OPTIONS || req->method == METHOD_TRACE;
    const struct field *f = is_counted ? fields_find(&req->fields, FIELD_MAX_FORWARDS) : NULL;
    uint64_t left;
    if (!f)
        return true;
    if (!num_dec(f->value, &left)) {
        exchange_fail(x, 400, "Max-Forwards is not a number", "RFC 9110 7.6.2");
        return false;
    }
    if (left == 0) {
        answer_last_hop(x);
        return false;
    }
    char *p = arena_alloc(&x->arena, NUM_DEC_MAX);
    fields_drop(&req->fields, FIELD_MAX_FORWARDS);
    add(x, &req->fields, FIELD_MAX_FORWARDS, slice_of(p, num_put_dec(p, left - 1)));
    return true;
}

void forward_request(struct exchange *x)
{
    struct request_head *req = &x->req;
    x->upgrade = x->req_framing.kind == BODY_NONE ? wanted_upgrade(x) : SLICE_NONE;
    x->takes_trailers = fields_has_token(&req->fields, FIELD_TE, SLICE("trailers"));
    drop_hop_by_hop(&req->fields, x->field_count);
    fields_drop(&req->fields, FIELD_HOST); /* the codec writes it first (RFC 9110 7.2) */
    if (req->minor < 1)
        fields_drop(&req->fields, FIELD_EXPECT); /* RFC 9110 10.1.1 */
    add_forwarded(x);
    add_via(x, &req->fields, req->is_h2 ? SLICE("2.0") : minor_text(req->minor));
    if (x->worker->snapshot->gateway.request_id)
        add_request_id(x);
    fields_drop_aliases(&req->fields, x->field_count);
}

void forward_response(struct exchange *x, struct response_head *head)
{
    if (head->status == 101)
        x->upgrade = fields_value(&head->fields, FIELD_UPGRADE);
    if (head->status == 204 || head->status / 100 == 1) /* RFC 9110 8.6 */
        fields_drop(&head->fields, FIELD_CONTENT_LENGTH);
    drop_hop_by_hop(&head->fields, head->fields.n);
    add_via(x, &head->fields, head->is_h2 ? SLICE("2.0") : minor_text(head->minor));
}
