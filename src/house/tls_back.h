/* TLS contexts for pools: see tls_front.h.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_TLS_BACK_H
#define HOUSE_TLS_BACK_H

#include "house/tls_files.h"
#include "net/tls.h"
#include "pool/pool_conf.h"

/* NULL: diag says what is wrong, and where. */
struct tls_client *tls_back_new(const struct pool_conf *pool, struct tls_store *store,
                                struct config_diag *diag);

#endif
