/* Memory of small objects, after a burst: malloc keeps whole pages of what is free, between what is
 * not, and gives them back to the kernel only when it is asked to.
 *
 * Asked it is by the main thread, which looks at the workers' counters once a second: when for some
 * seconds there was no more than an eighth of the clients and requests that there were at most. A
 * worker goes on meanwhile, and waits only if it needs malloc just then: for a connection, or
 * HTTP/2. That may take milliseconds, which is why it is done when few are left to wait.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_GIVE_BACK_H
#define HOUSE_GIVE_BACK_H

#include <stdint.h>

struct worker;

struct give_back {
    uint64_t most; /* clients and requests under way, since memory was given back last */
    unsigned calm; /* looks in a row that have found few of them */
};

/* To be called from time to time. */
void give_back_look(struct give_back *b, const struct worker *workers, uint32_t count);

#endif
