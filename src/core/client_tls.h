/* A client that has connected to a TLS listener, until its handshake is over; then it speaks what
 * ALPN says (RFC 7301).
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_TLS_H
#define CORE_CLIENT_TLS_H

struct client;
struct tls_server;

void client_tls_start(struct client *c, struct tls_server *tls);

#endif
