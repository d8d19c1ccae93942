/* HTTP/1.1 with a client: reads requests one after the other, gives each an exchange, and sends the
 * responses. While idle it holds no buffer.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_H1_H
#define CORE_CLIENT_H1_H

#include "codec/h1.h"

struct client;
struct exchange;

struct client_h1 {
    struct exchange *x; /* NULL: waits for a request, or for the rest of a head */
    struct h1_reader reader;
    struct h1_writer writer;
    uint64_t first_us; /* when the head under way began; 0: nothing of it yet */
};

extern const struct client_protocol client_h1;

/* A connection just made: waits for its first request. */
void client_h1_start(struct client *c);

#endif
