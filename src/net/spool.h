/* Where a body waits that has to be taken at once although its reader is slow: memory first, then a
 * temporary file without a name. It makes two chain elements out of one idea: what stays in memory,
 * and file ranges that go out by sendfile.
 * SPDX-License-Identifier: MIT */
#ifndef NET_SPOOL_H
#define NET_SPOOL_H

#include <stdint.h>

#include "base/chain.h"

struct spool {
    struct source source; /* the file; opened when first needed */
    off_t end;            /* of what is in use of it */
};

/* One reference, dropped with spool_close(); what lies in the file lives as long as a chain refers
 * to it. */
struct spool *spool_new(void);
void spool_close(struct spool *s);

/* Moves what c holds in memory beyond memory bytes into a file in directory dir. 0 or -errno; then
 * everything is still in c. */
int spool_spill(struct spool *s, struct chain *c, size_t memory, const char *dir);

#endif
