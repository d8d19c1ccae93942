/* What a pool does, for `sluice explain`: lines of a label and what is behind it.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_EXPLAIN_H
#define POOL_POOL_EXPLAIN_H

#include <stdio.h>

#include "pool/pool_conf.h"

void pool_explain(FILE *out, const struct pool_conf *pool);

#endif
