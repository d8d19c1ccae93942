/* Who a request comes from: the peer, or, where that is a proxy that is trusted, whom it names in
 * X-Forwarded-For (or Forwarded, RFC 7239: one of them, since a proxy that writes one may let
 * the other pass as a client has made it up). Proxies add themselves at the end, so that is read
 * backwards: the first that is no trusted proxy asks. What stands before, anybody may have written.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ASKER_H
#define CORE_ASKER_H

#include "config/address.h"
#include "http/field.h"
#include "net/addr.h"

struct trusted_proxies {
    const struct cidr *nets;
    size_t count;
    bool by_forwarded; /* they say it in Forwarded, not in X-Forwarded-For */
};

/* What is no address ends the search at the one who has written it. Without a port. Whether that is
 * somebody else than the peer. */
bool asker_find(const struct sockaddr *peer, const struct fields *fields,
                const struct trusted_proxies *trusted, struct net_addr *asker);

#endif
