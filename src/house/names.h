/* Keeps the backends of pools up to date with the names in their lines: each name is asked for
 * again when its answer has run out. Lives on the main thread's loop. SPDX-License-Identifier: MIT
 */
#ifndef HOUSE_NAMES_H
#define HOUSE_NAMES_H

#include <stdbool.h>

#include "core/gateway_conf.h"
#include "net/loop.h"
#include "pool/pool.h"

struct names;

/* conf says whom to ask. NULL: *error is -errno. */
struct names *names_new(struct loop *l, const struct gateway_conf *conf, int *error);
/* Follows a line of the pool's configuration from here on. is_known: the pool had the line before,
 * and so its addresses. */
void names_follow(struct names *n, struct pool *pool, const struct backend_conf *line,
                  bool is_known);
/* Waits for the first answers for all lines that are not known, so that the first request finds its
 * backends. */
void names_await(struct names *n);
/* Follows nothing any more; pools keep what they have. */
void names_free(struct names *n);

#endif
