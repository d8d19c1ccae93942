/* Connections spread evenly over the workers. The kernel gives a new one to a worker by a hash,
 * which is even only for very many: so a worker that has more than another hands it over.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SPREAD_H
#define CORE_SPREAD_H

#include <sys/socket.h>

struct address;
struct client_way;
struct worker;

/* As client_accept(), by the worker who has fewer clients. address: the listener's. */
void spread_accept(struct worker *w, const struct client_way *way, const struct address *address,
                   int fd, const struct sockaddr *addr, socklen_t len);

#endif
