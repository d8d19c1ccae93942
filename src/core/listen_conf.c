/* SPDX-License-Identifier: MIT */
#include "core/listen_conf.h"

#include <netinet/in.h>

/* clang-format off */
static key_set_fn set_from;

const struct key listen_options[] = {
    {.name = "backlog", .type = KEY_UINT, .at = at(struct listen_conf, backlog),
     .init = "0", .zero = "auto", .max = "65535",
     .help = "connections that may wait to be accepted; the kernel has its own limit, "
             "net.core.somaxconn"},
    {.name = "proxy-protocol", .type = KEY_BOOL, .at = at(struct listen_conf, takes_proxies),
     .init = "off",
     .help = "connections come from proxies, which say in front of everything else whom they connect "
             "for (PROXY protocol 1 or 2); who does not, within 'timeout head', is closed"},
    {.name = "from", .type = KEY_CUSTOM, .set = set_from, .syntax = "CIDR[,CIDR...]",
     .help = "with proxy-protocol: the proxies' addresses (unix: whoever comes by a unix socket); "
             "connections from others are closed"},
    {.name = NULL},
};
/* clang-format on */

bool listen_conf_set(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct listen_conf *l = target;
    if (d->arg_count == 0)
        return config_error(r->diag, d->name.at, "'listen' takes an address");
    l->is_tls = d->arg_count == 2 && slice_eq(word[1].text, SLICE("tls"));
    if (d->arg_count > 1u + l->is_tls)
        return config_error(r->diag, word[1].at,
                            "'listen' takes one address, and 'tls' behind it: '" SLICE_FMT
                            "' is too much",
                            SLICE_ARG(word[1].text));
    l->at = word->at;
    l->text = word->text;
    const char *why = address_parse_listen(word->text, &l->address);
    if (why)
        return config_error(r->diag, word->at, "cannot listen on '" SLICE_FMT "': %s",
                            SLICE_ARG(word->text), why);
    return true;
}

static bool set_from(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct listen_conf *l = target;
    struct slice list = word->text;
    (void)d;
    while (list.n) {
        size_t n = slice_find(list, ',');
        struct cidr net;
        const char *why = cidr_parse(slice_first(list, n), &net);
        if (why)
            return config_error(r->diag, word->at, "%s", why);
        struct cidr *kept = config_append(r, &l->proxies, &l->proxy_count, sizeof(*kept));
        *kept = net;
        list = slice_skip(list, n < list.n ? n + 1 : n);
    }
    return true;
}

bool listen_conf_close(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct listen_conf *l = opened;
    if (d->has_block && !l->is_tls)
        return config_error(r->diag, d->name.at,
                            "what stands in the block is about TLS\n"
                            "write: listen " SLICE_FMT " tls { ... }",
                            SLICE_ARG(l->text));
    if (l->takes_proxies && !l->proxy_count)
        return config_error(r->diag, d->name.at,
                            "proxy-protocol=on needs to know whom to believe\n"
                            "write: listen " SLICE_FMT " proxy-protocol=on from=CIDR",
                            SLICE_ARG(l->text));
    if (!l->takes_proxies && l->proxy_count)
        return config_error(r->diag, d->name.at, "from= means nothing without proxy-protocol=on");
    if (l->is_tls && l->tls.min > l->tls.max)
        return config_error(r->diag, d->name.at, "protocols: min is newer than max");
    return true;
}

const struct listen_conf *listen_conf_find(const struct listen_conf *all, uint32_t count,
                                           const struct address *address)
{
    for (uint32_t i = 0; i < count; i++)
        if (address_eq(&all[i].address, address))
            return &all[i];
    return NULL;
}

static const void *sa_of(const struct address *a)
{
    return &a->sa;
}

static in_port_t port_of(const struct address *a)
{
    const struct sockaddr_in6 *in6 = sa_of(a); /* both families keep the port at the same place */
    return in6->sin6_port;
}

static bool is_any_v4(const struct address *a)
{
    const struct sockaddr_in *in = sa_of(a);
    return in->sin_family == AF_INET && in->sin_addr.s_addr == INADDR_ANY;
}

static bool is_any_v6(const struct address *a)
{
    const struct sockaddr_in6 *in6 = sa_of(a);
    return in6->sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

bool listen_conf_clashes(const struct listen_conf *a, const struct listen_conf *b)
{
    const struct address *x = &a->address, *y = &b->address;
    if (x->kind != ADDRESS_INET || y->kind != ADDRESS_INET)
        return address_eq(x, y);
    if (port_of(x) == 0 || port_of(x) != port_of(y))
        return false;
    bool same_family = x->sa.ss_family == y->sa.ss_family;
    return address_eq(x, y) || x->dual || y->dual ||
           (same_family && (is_any_v4(x) || is_any_v4(y) || is_any_v6(x) || is_any_v6(y)));
}
