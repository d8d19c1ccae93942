/* A bound on how fast a response is sent: `limit rate=`, X-Accel-Limit-Rate.
 *
 * Between what is ready to go and what the front takes stands a chain that is let fill as time
 * passes. Bytes of a file stay a piece of the file. SPDX-License-Identifier: MIT */
#ifndef CORE_PACE_H
#define CORE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;

#define PACE_NONE UINT64_MAX /* a rate: as fast as it goes, whatever is configured */

/* The head of the response is about to go out, and x->outgoing is what its body would come from. */
void pace_begin(struct exchange *x);
/* Lets go on what may by now. True: something moved; else, if something waits, a timer runs. */
bool pace_run(struct exchange *x);
/* Whether anything waits for its time. */
bool pace_is_holding(const struct exchange *x);
void pace_drop(struct exchange *x);

#endif
