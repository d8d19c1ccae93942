/* SPDX-License-Identifier: MIT */
#include "core/asker.h"

#include "http/forwarded.h"

static size_t length_of(const struct sockaddr *peer)
{
    return peer->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
           : peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                         : sizeof(sa_family_t);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80" as the host alone. */
static struct slice without_port(struct slice s)
{
    size_t bracket = slice_find(s, ']'), colon = slice_find(s, ':');
    if (slice_starts(s, SLICE("[")) && bracket < s.n)
        return slice_of(s.p + 1, bracket - 1);
    bool is_v6 = colon < s.n && slice_find(slice_skip(s, colon + 1), ':') < s.n - colon - 1;
    return is_v6 ? s : slice_first(s, colon);
}

static bool read_element(struct slice element, struct net_addr *a)
{
    struct net_addr literal;
    struct slice host = without_port(slice_trim(element));
    if (slice_find(host, '%') < host.n || !net_addr_literal(host, 0, &literal))
        return false;
    net_addr_set(a, &literal.sa, literal.len);
    return true;
}

/* Takes the last element off a list. */
static struct slice take_last(struct slice *list)
{
    size_t at = list->n;
    while (at && list->p[at - 1] != ',')
        at--;
    struct slice last = slice_skip(*list, at);
    list->n = at ? at - 1 : 0;
    return last;
}

/* False: the search ends with *asker. */
static bool search_list(struct slice list, const struct trusted_proxies *trusted,
                        struct net_addr *asker)
{
    while (list.n) {
        struct slice element = take_last(&list);
        if (!slice_trim(element).n) /* RFC 9110 5.6.1: empty elements are none */
            continue;
        if (!read_element(element, asker) ||
            !cidr_any_has(trusted->nets, trusted->count, &asker->sa))
            return false;
    }
    return true;
}

/* The same of a Forwarded field. One that is wrong was written by the last one known. */
static bool search_elements(struct slice value, const struct trusted_proxies *trusted,
                            struct net_addr *asker)
{
    struct forwarded elements;
    if (!forwarded_parse(value, &elements))
        return false;
    for (unsigned i = elements.n; i > 0; i--)
        if (!read_element(elements.v[i - 1], asker) ||
            !cidr_any_has(trusted->nets, trusted->count, &asker->sa))
            return false;
    return elements.n < FORWARDED_MAX;
}

bool asker_find(const struct sockaddr *peer, const struct fields *fields,
                const struct trusted_proxies *trusted, struct net_addr *asker)
{
    enum field_id id = trusted->by_forwarded ? FIELD_FORWARDED : FIELD_X_FORWARDED_FOR;
    net_addr_set(asker, peer, (socklen_t)length_of(peer));
    if (!trusted->count || !fields_has(fields, id) ||
        !cidr_any_has(trusted->nets, trusted->count, peer))
        return false;
    for (unsigned i = fields->n; i > 0; i--) {
        const struct field *f = &fields->v[i - 1];
        if (f->id != id || f->dropped)
            continue;
        if (trusted->by_forwarded ? !search_elements(f->value, trusted, asker)
                                  : !search_list(f->value, trusted, asker))
            break;
    }
    struct net_addr own;
    net_addr_set(&own, peer, (socklen_t)length_of(peer));
    return !net_addr_eq(&own, asker);
}
