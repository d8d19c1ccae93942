/* SPDX-License-Identifier: MIT */
#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stddef.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291 2.5.5.2 */

static bool literal4(const char *host, uint16_t port, struct net_addr *a)
{
    *a = (struct net_addr){.len = sizeof(a->in4)};
    a->in4.sin_family = AF_INET;
    a->in4.sin_port = htons(port);
    return inet_pton(AF_INET, host, &a->in4.sin_addr) == 1;
}

/* A zone (RFC 4007 11) names the interface of a link-local address. */
static bool literal6(char *host, uint16_t port, struct net_addr *a)
{
    *a = (struct net_addr){.len = sizeof(a->in6)};
    a->in6.sin6_family = AF_INET6;
    a->in6.sin6_port = htons(port);
    char *zone = strchr(host, '%');
    if (zone) {
        *zone = '\0';
        a->in6.sin6_scope_id = if_nametoindex(zone + 1);
        if (!a->in6.sin6_scope_id)
            return false;
    }
    return inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1;
}

bool net_addr_literal(struct slice host, uint16_t port, struct net_addr *a)
{
    char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
    bool brackets = slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]"));
    if (brackets)
        host = slice_of(host.p + 1, host.n - 2);
    if (host.n == 0 || host.n >= sizeof(copy) || memchr(host.p, '\0', host.n))
        return false;
    memcpy(copy, host.p, host.n);
    copy[host.n] = '\0';
    return (!brackets && literal4(copy, port, a)) || literal6(copy, port, a);
}

void net_addr_set(struct net_addr *a, const struct sockaddr *sa, socklen_t len)
{
    if (len >= sizeof(a->in4) && sa->sa_family == AF_INET) { /* as most are, several a request */
        a->len = sizeof(a->in4);
        memcpy(&a->in4, sa, sizeof(a->in4));
        return;
    }
    *a = (struct net_addr){.len = len < sizeof(a->un) ? len : sizeof(a->un)};
    memcpy(&a->sa, sa, a->len);
    if (a->len < sizeof(a->in6) || a->sa.sa_family != AF_INET6 ||
        memcmp(&a->in6.sin6_addr, mapped_prefix, sizeof(mapped_prefix)) != 0)
        return;
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = a->in6.sin6_port};
    memcpy(&in4.sin_addr, a->in6.sin6_addr.s6_addr + sizeof(mapped_prefix), sizeof(in4.sin_addr));
    *a = (struct net_addr){.len = sizeof(in4), .in4 = in4};
}

static void put_unix(struct text *t, const struct net_addr *a)
{
    text_lit(t, "unix:");
    size_t n = a->len > offsetof(struct sockaddr_un, sun_path)
                   ? a->len - offsetof(struct sockaddr_un, sun_path)
                   : 0;
    if (n && a->un.sun_path[0] == '\0') {
        text_char(t, '@');
        text_quoted(t, slice_of(a->un.sun_path + 1, n - 1), text_left(t));
    } else {
        text_quoted(t, slice_of(a->un.sun_path, strnlen(a->un.sun_path, n)), text_left(t));
    }
}

/* By hand: this is done for every request, and inet_ntop formats by printf. */
static void put_v4(struct text *t, const struct in_addr *in)
{
    const uint8_t *bytes = (const uint8_t *)&in->s_addr; /* network order */
    char out[INET_ADDRSTRLEN], *p = out;
    for (int i = 0; i < 4; i++) {
        if (bytes[i] >= 100)
            *p++ = (char)('0' + bytes[i] / 100);
        if (bytes[i] >= 10)
            *p++ = (char)('0' + bytes[i] / 10 % 10);
        *p++ = (char)('0' + bytes[i] % 10);
        *p++ = '.';
    }
    text_put(t, slice_of(out, (size_t)(p - out - 1)));
}

static void put_v6(struct text *t, const struct in6_addr *in)
{
    char out[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, in, out, sizeof(out));
    text_put(t, slice_str(out));
}

void net_addr_put_host(struct text *t, const struct net_addr *a)
{
    if (a->len == 0)
        return;
    if (a->sa.sa_family == AF_UNIX)
        put_unix(t, a);
    else if (a->sa.sa_family == AF_INET)
        put_v4(t, &a->in4.sin_addr);
    else if (a->sa.sa_family == AF_INET6)
        put_v6(t, &a->in6.sin6_addr);
}

void net_addr_put(struct text *t, const struct net_addr *a)
{
    bool v6 = a->len && a->sa.sa_family == AF_INET6;
    if (v6)
        text_char(t, '[');
    net_addr_put_host(t, a);
    if (v6)
        text_char(t, ']');
    if (a->len && a->sa.sa_family != AF_UNIX) {
        text_char(t, ':');
        text_dec(t, net_addr_port(a));
    }
}

uint16_t net_addr_port(const struct net_addr *a)
{
    if (a->len && a->sa.sa_family == AF_INET)
        return ntohs(a->in4.sin_port);
    return a->len && a->sa.sa_family == AF_INET6 ? ntohs(a->in6.sin6_port) : 0;
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
    if (a->len != b->len || a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in4.sin_port == b->in4.sin_port &&
               a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return a->in6.sin6_port == b->in6.sin6_port &&
               a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
    return memcmp(&a->sa, &b->sa, a->len) == 0;
}
