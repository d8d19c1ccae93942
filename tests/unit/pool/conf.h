/* A pool's configuration as tests want it: the defaults that matter, without a file.
 * SPDX-License-Identifier: MIT */
#ifndef TEST_POOL_CONF_H
#define TEST_POOL_CONF_H

#include <arpa/inet.h>

#include "pool/members.h"
#include "pool/pool_conf.h"

static inline struct pool_conf test_conf(int balance)
{
    return (struct pool_conf){
        .name = SLICE_INIT("test"),
        .protocol = SLICE_INIT("http"),
        .balance = balance,
        .queue_length = 1000,
        .queue_ms = 10000,
        .keep_idle = 32,
        .keep_ms = 60000,
        .fail_count = 3,
        .fail_within_ms = 10000,
        .fail_backoff_ms = 1000,
        .fail_max_ms = 60000,
        .eject_requests = 20,
        .eject_window_ms = 10000,
        .eject_share = 50,
    };
}

/* 127.0.0.1:port */
static inline struct pool_address test_address(uint16_t port)
{
    struct pool_address a = {.len = sizeof(struct sockaddr_in)};
    struct sockaddr_in *in = (struct sockaddr_in *)&a.sa;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

#endif
