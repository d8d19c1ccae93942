/* What the clients' connections are doing: the workers are asked, each by a message to its loop,
 * and the answer is made when the last of them has written down its part. SPDX-License-Identifier:
 * MIT */
#ifndef ADMIN_CONNECTIONS_H
#define ADMIN_CONNECTIONS_H

struct admin;

/* The workers have ended: takes back the questions that are still under way. */
void gathers_end(struct admin *a);

#endif
