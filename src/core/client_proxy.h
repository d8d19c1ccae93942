/* A connection that a proxy has opened for a client, until it has said for whom (PROXY protocol);
 * from then on it is that client's: in logs, access lists, forwarding fields.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_PROXY_H
#define CORE_CLIENT_PROXY_H

struct client;
struct client_way;

void client_proxy_start(struct client *c, const struct client_way *way);

#endif
