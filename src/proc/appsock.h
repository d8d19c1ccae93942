/* Where applications listen: sockets made for them, ports found for them, and whether they answer.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_APPSOCK_H
#define PROC_APPSOCK_H

#include <stdbool.h>

#include "net/addr.h"

/* The address of a unix socket's file. 0 or -ENAMETOOLONG. */
int appsock_path(struct slice path, struct net_addr *addr) __attribute__((warn_unused_result));
/* A listening unix socket for an application to inherit: blocking, as FastCGI libraries expect, and
 * for nobody but us to connect to. Its descriptor, or -errno. */
int appsock_listen(const struct net_addr *addr) __attribute__((warn_unused_result));
/* Whether connections wait in it to be accepted. -1 is no socket. */
bool appsock_is_awaited(int fd);
/* A port of 127.0.0.1 that nobody uses now. 0 or -errno. */
int appsock_find_port(struct net_addr *addr) __attribute__((warn_unused_result));
/* Whether somebody listens there. Does not wait: for local addresses only. */
bool appsock_answers(const struct net_addr *addr);

#endif
