/* What a request wants of its pool: which of its parts the balancer looks at, which backend its
 * cookie names, how urgent it is. Told to the pool with every pick.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_DEMAND_H
#define CORE_DEMAND_H

struct exchange;

/* Once, when the pool is known. */
void demand_init(struct exchange *x);
/* Names the backend that has answered in a cookie, if the pool is sticky and the client's names
 * another or none. Before the head goes out. */
void demand_mark_response(struct exchange *x);

#endif
