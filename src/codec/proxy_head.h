/* The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): a head that a proxy puts in
 * front of everything it sends, to say whom it connects for.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_PROXY_HEAD_H
#define CODEC_PROXY_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "base/slice.h"

enum {
    PROXY_V1_MAX = 107,    /* with its line end (2.1) */
    PROXY_V2_MIN = 16,     /* what says how long the rest is */
    PROXY_HEAD_MAX = 2048, /* taken; version 2 allows 65551, of fields nobody sends */
    PROXY_PUT_MAX = 128,   /* of those we write */
};

struct proxy_head {
    bool is_known; /* it says who; else the connection is the proxy's own, or unspeakable */
    struct sockaddr_storage client, server;
};

/* *taken: its length. Without a port of its own an address of a unix socket is not known. A
 * checksum (2.2.2) must be right. */
enum parse proxy_head_parse(struct slice in, struct proxy_head *out, size_t *taken, struct fault *f)
    __attribute__((warn_unused_result));

/* Writes one of version 1 or 2 at p (PROXY_PUT_MAX bytes are enough); answers its length. NULL, or
 * what is neither IPv4 nor IPv6: the connection is our own (LOCAL, UNKNOWN). */
size_t proxy_head_put(char *p, int version, const struct sockaddr *client,
                      const struct sockaddr *server);

#endif
