/* Addresses as the configuration writes them: where to listen, which networks.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

enum address_kind {
    ADDRESS_INET, /* sa, len */
    ADDRESS_UNIX, /* sa, len; path too */
    ADDRESS_FD,   /* fd: a socket that listens already, inherited */
};

struct address {
    enum address_kind kind;
    bool dual; /* IPv6 wildcard that takes IPv4 as well */
    int fd;
    socklen_t len;
    struct sockaddr_storage sa;
    struct slice path; /* ADDRESS_UNIX; points into the text given */
};

/* "8080", ":8080" (every address, IPv4 and IPv6), "127.0.0.1:8080", "[::1]:8080", "*:8080",
 * "localhost:8080", "unix:/path", "fd:3". NULL, or what is wrong. */
const char *address_parse_listen(struct slice text, struct address *out)
    __attribute__((warn_unused_result));
bool address_eq(const struct address *a, const struct address *b);

/* Where a backend is: "host", "host:port", "[v6]:port" or "unix:/path". */
struct endpoint {
    struct slice host; /* name or literal address without brackets; empty for a unix socket */
    uint16_t port;     /* 0: none was given */
    struct slice path; /* unix socket; empty else */
};

/* NULL, or what is wrong. */
const char *endpoint_parse(struct slice text, struct endpoint *out)
    __attribute__((warn_unused_result));

/* A network. IPv4 is kept in its IPv6-mapped form, so that clients of a dual listener match. */
struct cidr {
    uint8_t ip[16];
    uint8_t bits; /* 0..128 */
    bool local;   /* "unix": whoever comes by a unix socket */
};

/* "10.0.0.0/8", "::1", "192.0.2.7", "fd00::/8", "unix". NULL, or what is wrong. */
const char *cidr_parse(struct slice text, struct cidr *out) __attribute__((warn_unused_result));
bool cidr_has(const struct cidr *net, const struct sockaddr *client);
bool cidr_any_has(const struct cidr *nets, size_t count, const struct sockaddr *client);
/* Without resolving: whether text is a literal IPv4 or IPv6 address. */
bool address_is_literal(struct slice text);

#endif
