/* A CGI program for one request: finds it, has the spawner start it between two pipes, and ends it
 * when its connection ends.
 *
 * To the rest of the core it is a connection to a backend that was dialled. One that has answered
 * may finish what it does; one whose client or deadline is gone gets TERM, and then KILL.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CGI_LAUNCH_H
#define CORE_CGI_LAUNCH_H

#include "codec/codec.h"
#include "pool/backend.h"

struct exchange;
struct conn;
struct conn_owner;

/* Starts what x->path names: the route's prefix is where the backend, a program or a directory of
 * programs, is mounted. Takes over a slot and a reference, as conn_dial() does. */
struct conn *cgi_launch(struct exchange *x, struct backend *b, const struct conn_owner *owner,
                        int *error);
/* What an error of it means for who asked; *why stays what it is where that says enough. */
uint16_t cgi_launch_status(int error, const char **why);

/* The connection has ended, and nothing in the response says that it is whole. True: it is a
 * program's, whose own end has not been heard of yet; on_ready is called when it has, or a second
 * later. */
bool cgi_await_end(const struct conn *c);
bool cgi_is_awaited(const struct conn *c);
/* Whether it is a program's that ended with its spawner, or that somebody has killed: no fault of
 * its own. */
bool cgi_is_lost(const struct conn *c);
/* Whether it is a program's that has not come to its end by itself, or may not have. */
bool cgi_is_broken(const struct conn *c);

/* The worker ends: KILLs what still runs. No connection to any is open. */
struct worker;
void cgi_abandon_all(struct worker *w);

#endif
