/* SPDX-License-Identifier: MIT */
#include "config/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/un.h>

#include "base/num.h"

enum { FD_MAX = 1 << 20, HOST_MAX = 253 };

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* inet_pton wants a NUL. */
static bool parse_ip(int family, struct slice text, void *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return strlen(copy) == text.n && inet_pton(family, copy, out) == 1;
}

bool address_is_literal(struct slice text)
{
    uint8_t ip[16];
    return parse_ip(AF_INET, text, ip) || parse_ip(AF_INET6, text, ip);
}

static const char *parse_port(struct slice text, uint16_t *port)
{
    uint64_t v;
    if (!num_dec(text, &v))
        return "the port is not a number";
    if (v > UINT16_MAX)
        return "the port is larger than 65535";
    *port = (uint16_t)v;
    return NULL;
}

static bool is_number(struct slice text)
{
    uint64_t v;
    return num_dec(text, &v);
}

/* Splits at the colon before the port. A host in brackets is an IPv6 address. */
static const char *split_port(struct slice text, struct slice *host, struct slice *port,
                              bool *in_brackets)
{
    *in_brackets = text.n && text.p[0] == '[';
    size_t at;
    if (*in_brackets) {
        at = slice_find(text, ']') + 1;
        if (at > text.n)
            return "the ']' is missing";
        *host = slice_of(text.p + 1, at - 2);
        if (at < text.n && text.p[at] != ':')
            return "after ']' only ':' and a port may follow";
    } else {
        at = slice_find(text, ':');
        *host = slice_first(text, at);
        if (at < text.n && slice_find(slice_skip(text, at + 1), ':') < text.n - at - 1)
            return "an IPv6 address is written in brackets: [::1]:8080";
    }
    *port = at < text.n ? slice_skip(text, at + 1) : SLICE_NONE;
    return NULL;
}

static const char *set_unix(struct slice path, struct address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;
    if (path.n == 0)
        return "the path of the unix socket is missing";
    if (path.n >= sizeof(un->sun_path))
        return "the path of a unix socket holds at most 107 bytes";
    out->kind = ADDRESS_UNIX;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    out->path = path;
    return NULL;
}

static const char *set_fd(struct slice number, struct address *out)
{
    uint64_t fd;
    if (!num_dec(number, &fd) || fd > FD_MAX)
        return "fd: is followed by the number of a descriptor";
    out->kind = ADDRESS_FD;
    out->fd = (int)fd;
    return NULL;
}

static void set_v6(struct address *out, const struct in6_addr *ip, uint16_t port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;
    *in6 =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *ip};
    out->len = sizeof(*in6);
}

static void set_v4(struct address *out, struct in_addr ip, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->sa;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip};
    out->len = sizeof(*in);
}

static const char *set_inet(struct slice host, bool in_brackets, uint16_t port, struct address *out)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (slice_eq(host, SLICE("localhost")))
        host = SLICE("127.0.0.1");
    if (!in_brackets && (host.n == 0 || slice_eq(host, SLICE("*")))) {
        out->dual = true;
        set_v6(out, &(struct in6_addr)IN6ADDR_ANY_INIT, port);
    } else if (in_brackets && parse_ip(AF_INET6, host, &v6)) {
        set_v6(out, &v6, port);
    } else if (!in_brackets && parse_ip(AF_INET, host, &v4)) {
        set_v4(out, v4, port);
    } else {
        return in_brackets
                   ? "this is no IPv6 address"
                   : "an address to listen on is a port, IP:PORT, [IPv6]:PORT or unix:/path";
    }
    return NULL;
}

const char *address_parse_listen(struct slice text, struct address *out)
{
    struct slice host, port_text;
    uint16_t port;
    bool in_brackets;
    *out = (struct address){.kind = ADDRESS_INET, .fd = -1};
    if (slice_starts(text, SLICE("unix:")))
        return set_unix(slice_skip(text, 5), out);
    if (slice_starts(text, SLICE("fd:")))
        return set_fd(slice_skip(text, 3), out);
    if (is_number(text)) {
        const char *bad = parse_port(text, &port);
        return bad ? bad : set_inet(SLICE_NONE, false, port, out);
    }
    const char *why = split_port(text, &host, &port_text, &in_brackets);
    if (why)
        return why;
    if (!port_text.p)
        return host.n && slice_find(host, '.') == host.n && !in_brackets
                   ? "an address to listen on is a port, IP:PORT, [IPv6]:PORT or unix:/path"
                   : "the port is missing";
    why = parse_port(port_text, &port);
    return why ? why : set_inet(host, in_brackets, port, out);
}

bool address_eq(const struct address *a, const struct address *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == ADDRESS_FD)
        return a->fd == b->fd;
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* Letters, digits, '-', '.' and '_': the last is no host name by RFC 952 but common in containers.
 */
static bool is_host_name(struct slice s)
{
    if (s.n == 0 || s.n > HOST_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_')
            return false;
    }
    return s.p[0] != '.' && s.p[0] != '-';
}

const char *endpoint_parse(struct slice text, struct endpoint *out)
{
    struct slice port_text;
    bool in_brackets;
    uint8_t ip[16];
    *out = (struct endpoint){0};
    if (slice_starts(text, SLICE("unix:"))) {
        struct address scratch = {0};
        out->path = slice_skip(text, 5);
        return set_unix(out->path, &scratch);
    }
    const char *why = split_port(text, &out->host, &port_text, &in_brackets);
    if (why)
        return why;
    if (in_brackets ? !parse_ip(AF_INET6, out->host, ip) : !is_host_name(out->host))
        return in_brackets ? "this is no IPv6 address" : "this is no host name";
    if (!port_text.p)
        return NULL;
    why = parse_port(port_text, &out->port);
    return why ? why : out->port == 0 ? "port 0 cannot be connected to" : NULL;
}

const char *cidr_parse(struct slice text, struct cidr *out)
{
    size_t slash = slice_find(text, '/');
    struct slice ip = slice_first(text, slash);
    *out = (struct cidr){.bits = 128};
    if (slice_eq(text, SLICE("unix"))) {
        out->local = true;
        return NULL;
    }
    uint64_t bits, most = 128;
    if (parse_ip(AF_INET, ip, out->ip + 12)) {
        memcpy(out->ip, mapped_prefix, sizeof(mapped_prefix));
        most = 32;
    } else if (!parse_ip(AF_INET6, ip, out->ip)) {
        return "this is no network: write an IP address or ADDRESS/BITS";
    }
    if (slash == text.n)
        return NULL;
    if (!num_dec(slice_skip(text, slash + 1), &bits) || bits > most)
        return most == 32 ? "behind the '/' stands a number from 0 to 32"
                          : "behind the '/' stands a number from 0 to 128";
    out->bits = (uint8_t)(128 - most + bits);
    return NULL;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool cidr_has(const struct cidr *net, const struct sockaddr *client)
{
    uint8_t ip[16];
    if (!client || net->local || client->sa_family == AF_UNIX)
        return client && net->local && client->sa_family == AF_UNIX;
    if (client->sa_family == AF_INET) {
        memcpy(ip, mapped_prefix, sizeof(mapped_prefix));
        memcpy(ip + 12, &((const struct sockaddr_in *)(const void *)client)->sin_addr, 4);
    } else if (client->sa_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)client)->sin6_addr, sizeof(ip));
    } else {
        return false;
    }
    return same_bits(net->ip, ip, net->bits);
}

bool cidr_any_has(const struct cidr *nets, size_t count, const struct sockaddr *client)
{
    for (size_t i = 0; i < count; i++)
        if (cidr_has(&nets[i], client))
            return true;
    return false;
}
