/* Bytes of a chain that lie in a file, for those who have to look at them.
 * SPDX-License-Identifier: MIT */
#ifndef NET_CHAIN_FILE_H
#define NET_CHAIN_FILE_H

#include <sys/types.h>

#include "base/chain.h"

/* The chain begins with a file: reads up to n bytes of it to p and drops them. Answers their
 * number, or -errno: -EIO also where the file has become shorter than promised. */
ssize_t chain_file_read(struct chain *c, char *p, size_t n);

#endif
