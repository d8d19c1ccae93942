/* A stream over two pipes: what a program writes comes by one, what it reads goes by the other. To
 * the program they are what the shell would give it: it can open /dev/stdin and /dev/stdout, which
 * a socket does not allow.
 *
 * A program that reads its input no more is no failure: it has had what it wants, and the rest is
 * dropped.
 * SPDX-License-Identifier: MIT */
#ifndef NET_DUPLEX_H
#define NET_DUPLEX_H

#include "net/stream.h"

/* from, to: ends of pipes, which do not block; owned from here on. to is -1 where nothing will be
 * read: all that is sent is dropped. 0 or -errno (both then closed). */
int duplex_open(struct stream *s, struct loop *loop, int from, int to,
                void (*on_ready)(struct stream *s)) __attribute__((warn_unused_result));

#endif
