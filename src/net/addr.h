/* A socket address as a plain value, and its text: "127.0.0.1:80", "[::1]:80",
 * "unix:/run/app.sock", "unix:@abstract".
 * SPDX-License-Identifier: MIT */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/slice.h"
#include "base/text.h"

struct net_addr {
    socklen_t len; /* 0: none */
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

enum { NET_ADDR_TEXT_MAX = 128 };

/* A literal without a port: "1.2.3.4", "::1", "[::1]", "fe80::1%eth0". */
bool net_addr_literal(struct slice host, uint16_t port, struct net_addr *a)
    __attribute__((warn_unused_result));
/* From the kernel; an IPv4 address mapped into IPv6 (::ffff:1.2.3.4) becomes IPv4. */
void net_addr_set(struct net_addr *a, const struct sockaddr *sa, socklen_t len);

/* With port; a unix client's address, which has no name, is "unix:". */
void net_addr_put(struct text *t, const struct net_addr *a);
/* Without port and brackets, for logs and X-Forwarded-For. */
void net_addr_put_host(struct text *t, const struct net_addr *a);
uint16_t net_addr_port(const struct net_addr *a); /* 0 where there is none */
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);

#endif
