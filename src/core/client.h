/* A client's connection that speaks HTTP/1.1: reads requests one after the other, gives each an
 * exchange, and sends the responses. While idle it holds no buffer.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

#include <sys/socket.h>

struct worker;

/* Takes over fd, an accepted connection. */
void client_accept(struct worker *w, int fd, const struct sockaddr *addr, socklen_t len);
/* Graceful stop: closes those that are idle; others when their exchange is over. */
void clients_stop(struct worker *w);
/* The deadline of the stop has passed: breaks off what is left. */
void clients_kill(struct worker *w);

#endif
