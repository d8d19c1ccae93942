/* SPDX-License-Identifier: MIT */
#include "rewrite/map_back.h"

#include "base/text.h"
#include "http/uri.h"

/* ---- paths ---- */

static bool is_beneath(struct slice path, struct slice prefix)
{
    return slice_starts(path, prefix) &&
           (path.n == prefix.n || slice_find(SLICE("/?#"), path.p[prefix.n]) < 3);
}

/* More of them, or what browsers take for them, would begin the name of another host. */
static struct slice with_one_slash(struct slice path, struct arena *a)
{
    size_t n = 0;
    while (n < path.n && (path.p[n] == '/' || path.p[n] == '\\'))
        n++;
    bool is_plain = n == 1 && path.p[0] == '/';
    return is_plain ? path : arena_join(a, SLICE("/"), slice_skip(path, n));
}

/* path begins with '/'; a query or fragment may be behind it. */
static struct slice map_path(const struct mapping *m, struct slice path, struct arena *a)
{
    if (m->prepended.n && is_beneath(path, m->prepended))
        path = with_one_slash(slice_skip(path, m->prepended.n), a);
    if (m->prefix.n && !is_beneath(path, m->prefix))
        path = arena_join(a, m->prefix, path);
    return path;
}

/* ---- URLs ---- */

struct url {
    struct slice scheme; /* empty: "//host/path" */
    struct slice authority, rest;
};

/* "http://host/path", "//host/path"; false: it is of another form. */
static bool split_url(struct slice s, struct url *u)
{
    *u = (struct url){0};
    if (!slice_starts(s, SLICE("//"))) {
        size_t colon = slice_find(s, ':');
        u->scheme = slice_first(s, colon);
        if (!slice_ieq(u->scheme, SLICE("http")) && !slice_ieq(u->scheme, SLICE("https")))
            return false;
        s = slice_skip(s, colon + (colon < s.n));
        if (!slice_starts(s, SLICE("//")))
            return false;
    }
    s = slice_skip(s, 2);
    size_t end = 0;
    while (end < s.n && slice_find(SLICE("/?#"), s.p[end]) == 3)
        end++;
    u->authority = slice_first(s, end);
    u->rest = slice_skip(s, end);
    return true;
}

static int port_of(int port, struct slice scheme)
{
    return port >= 0 ? port : slice_ieq(scheme, SLICE("https")) ? 443 : 80;
}

/* A host without a port means the one that its scheme has. */
static bool is_same(struct slice one, struct slice other, struct slice scheme)
{
    struct slice host, other_host;
    int port, other_port;
    return other.n && uri_split_authority(one, &host, &port) &&
           uri_split_authority(other, &other_host, &other_port) && slice_ieq(host, other_host) &&
           port_of(port, scheme) == port_of(other_port, scheme);
}

/* By the name it was told, at the port it listens on: applications that know their port add it. */
static bool is_its_own_port(const struct mapping *m, struct slice authority, struct slice scheme)
{
    struct slice host, told, address;
    int port, told_port, own_port;
    return m->host.n && uri_split_authority(authority, &host, &port) &&
           uri_split_authority(m->host, &told, &told_port) && slice_ieq(host, told) &&
           uri_split_authority(m->backend, &address, &own_port) && own_port >= 0 &&
           port_of(port, scheme) == own_port;
}

static bool is_backend(const struct mapping *m, struct slice authority, struct slice scheme)
{
    return is_same(authority, m->host, scheme) || is_same(authority, m->backend, scheme) ||
           is_its_own_port(m, authority, scheme);
}

/* "http://host" without a path means '/'. */
static struct slice map_rest(const struct mapping *m, struct slice rest, struct arena *a)
{
    if (rest.n && rest.p[0] == '/')
        return map_path(m, rest, a);
    if (!m->prefix.n)
        return rest;
    return map_path(m, arena_join(a, SLICE("/"), rest), a);
}

struct slice map_back_url(const struct mapping *m, struct slice url, struct arena *a)
{
    struct url u;
    if (slice_starts(url, SLICE("/")) && !slice_starts(url, SLICE("//")))
        return map_path(m, url, a);
    if (!split_url(url, &u))
        return url;
    struct slice scheme = u.scheme.n ? u.scheme : m->scheme;
    if (m->authority.n && is_same(u.authority, m->authority, scheme)) {
        struct slice front = slice_first(url, url.n - u.rest.n);
        struct slice rest = map_rest(m, u.rest, a);
        return rest.p == u.rest.p ? url : arena_join(a, front, rest);
    }
    if (!m->authority.n || !is_backend(m, u.authority, scheme))
        return url;
    struct slice front = arena_join(a, SLICE("//"), m->authority);
    if (u.scheme.n)
        front = arena_join(a, m->scheme, arena_join(a, SLICE(":"), front));
    return arena_join(a, front, map_rest(m, u.rest, a));
}

/* "5; url=/x", with quotes or without. */
struct slice map_back_refresh(const struct mapping *m, struct slice value, struct arena *a)
{
    size_t at = slice_find(value, ';');
    while (at < value.n && (value.p[at] == ';' || value.p[at] == ' ' || value.p[at] == '\t'))
        at++;
    if (!slice_ieq(slice_first(slice_skip(value, at), 4), SLICE("url=")))
        return value;
    at += 4;
    struct slice url = slice_skip(value, at);
    bool is_quoted = url.n && (url.p[0] == '"' || url.p[0] == '\'');
    char quote = is_quoted ? url.p[0] : ';';
    url = slice_skip(url, is_quoted ? 1 : 0);
    url = slice_first(url, is_quoted ? slice_find(url, quote) : url.n);
    struct slice mapped = map_back_url(m, url, a);
    if (mapped.p == url.p && mapped.n == url.n)
        return value;
    struct slice front = slice_first(value, (size_t)(url.p - value.p));
    struct slice behind = slice_skip(value, front.n + url.n);
    return arena_join(a, arena_join(a, front, mapped), behind);
}

/* ---- cookies ---- */

/* The name and value of an attribute, or of a flag without one. */
static void split_attribute(struct slice text, struct slice *name, struct slice *value)
{
    size_t equals = slice_find(text, '=');
    *name = slice_trim(slice_first(text, equals));
    *value = equals < text.n ? slice_trim(slice_skip(text, equals + 1)) : SLICE_NONE;
}

/* What stands between two semicolons; behind the last there is one more, maybe empty. */
static bool next_attribute(struct slice *rest, struct slice *text)
{
    if (!rest->p)
        return false;
    size_t end = slice_find(*rest, ';');
    *text = slice_first(*rest, end);
    *rest = end < rest->n ? slice_skip(*rest, end + 1) : SLICE_NONE;
    return true;
}

/* Whether a cookie of this domain would be sent to the host (RFC 6265 5.1.3). */
static bool is_domain_of(struct slice domain, struct slice authority)
{
    struct slice host;
    int port;
    if (!authority.n || !uri_split_authority(authority, &host, &port))
        return false;
    if (slice_starts(domain, SLICE(".")))
        domain = slice_skip(domain, 1);
    if (!domain.n || host.n < domain.n)
        return false;
    struct slice tail = slice_skip(host, host.n - domain.n);
    return slice_ieq(tail, domain) && (tail.n == host.n || tail.p[-1] == '.');
}

/* "/" of the application is the prefix itself, which matches what is beneath it too. */
static struct slice map_cookie_path(const struct mapping *m, struct slice path, struct arena *a)
{
    if (!slice_starts(path, SLICE("/")))
        return path;
    struct slice mapped = map_path(m, path, a);
    bool is_root = path.n == 1 && mapped.n > 1;
    return is_root && slice_ends(mapped, SLICE("/")) ? slice_first(mapped, mapped.n - 1) : mapped;
}

static bool is_foreign_domain(const struct mapping *m, struct slice domain)
{
    return is_domain_of(domain, m->host.n ? m->host : m->backend) &&
           !is_domain_of(domain, m->authority);
}

/* What of an attribute stays; false: nothing does. */
static bool map_attribute(const struct mapping *m, struct slice *text, bool is_host_bound,
                          struct arena *a)
{
    struct slice name, value;
    split_attribute(*text, &name, &value);
    if (slice_ieq(name, SLICE("domain")))
        return !is_foreign_domain(m, value);
    if (is_host_bound || !slice_ieq(name, SLICE("path")))
        return true;
    struct slice mapped = map_cookie_path(m, value, a);
    if (mapped.p != value.p || mapped.n != value.n)
        *text = arena_join(a, SLICE(" Path="), mapped);
    return true;
}

static bool has_attribute(struct slice cookie, struct slice wanted)
{
    struct slice text, name, value;
    next_attribute(&cookie, &text);
    while (next_attribute(&cookie, &text)) {
        split_attribute(text, &name, &value);
        if (slice_ieq(name, wanted))
            return true;
    }
    return false;
}

static void put_flags(struct text *out, struct slice flags, struct slice cookie)
{
    struct slice text, name, value;
    next_attribute(&flags, &text); /* what is in front of the first ';' */
    while (next_attribute(&flags, &text)) {
        split_attribute(text, &name, &value);
        if (has_attribute(cookie, name))
            continue;
        text_char(out, ';');
        text_put(out, text);
    }
}

enum { ATTRIBUTES_MAX = 32 }; /* a cookie with more is left alone: there are eight to know */

static size_t count_attributes(struct slice cookie)
{
    size_t n = 0;
    for (size_t i = 0; i < cookie.n; i++)
        n += cookie.p[i] == ';';
    return n;
}

struct slice map_back_cookie(const struct mapping *m, struct slice value, struct arena *a)
{
    struct slice rest = value, text, name;
    size_t count = count_attributes(value);
    if (count > ATTRIBUTES_MAX || !next_attribute(&rest, &name))
        return value;
    /* Such a cookie is only taken with the path '/' (RFC 6265bis 4.1.3.2). */
    bool is_host_bound = slice_starts(slice_trim(name), SLICE("__Host-"));
    size_t most = value.n + m->cookie_flags.n + count * (m->prefix.n + sizeof(" Path=/"));
    struct text out = text_of(arena_alloc(a, most + 1), most + 1);
    text_put(&out, name);
    while (next_attribute(&rest, &text)) {
        if (m->is_on && !map_attribute(m, &text, is_host_bound, a))
            continue;
        text_char(&out, ';');
        text_put(&out, text);
    }
    put_flags(&out, m->cookie_flags, value);
    return text_slice(&out);
}

/* ---- fields ---- */

typedef struct slice map_fn(const struct mapping *m, struct slice value, struct arena *a);

static map_fn *mapper_of(const struct mapping *m, const struct field *f)
{
    if (f->dropped)
        return NULL;
    if (f->id == FIELD_SET_COOKIE)
        return map_back_cookie;
    if (!m->is_on)
        return NULL;
    if (f->id == FIELD_LOCATION || slice_ieq(f->name, SLICE("Content-Location")))
        return map_back_url;
    return slice_ieq(f->name, SLICE("Refresh")) ? map_back_refresh : NULL;
}

void map_back_fields(const struct mapping *m, struct fields *fs, struct arena *a)
{
    for (unsigned i = 0; i < fs->n; i++) {
        map_fn *map = mapper_of(m, &fs->v[i]);
        if (map)
            fs->v[i].value = map(m, fs->v[i].value, a);
    }
}
