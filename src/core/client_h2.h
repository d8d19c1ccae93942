/* HTTP/2 with a client: an exchange for each stream of a connection. Reads are acted on at once;
 * what is to be sent is gathered from all streams and written once, at the end of the loop's turn.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_H2_H
#define CORE_CLIENT_H2_H

struct client;

extern const struct client_protocol client_h2;

/* The client has begun with the preface, which has not been consumed yet. */
void client_h2_start(struct client *c);

#endif
