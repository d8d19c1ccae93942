/* TLS to the backends of a pool, as configured: the `tls` block, or nothing but `protocol https`.
 * SPDX-License-Identifier: MIT */
#ifndef POOL_POOL_TLS_H
#define POOL_POOL_TLS_H

#include <stdbool.h>

#include "config/schema.h"
#include "config/source.h"

struct pool_tls_conf {
    bool is_on;
    struct slice ca, crl, certificate, key; /* paths, each followed by a NUL; may be empty */
    struct slice name;                      /* empty: the backend's host */
    bool verify;
    int min, max; /* enum tls_version */
    struct config_place at;
};

struct pool_conf;

/* `tls { ... }` of a pool; the target is a struct pool_conf. */
extern const struct key pool_tls_keys[];
key_set_fn pool_tls_set;
/* Once the backends are known: whether each has a name to be checked. */
bool pool_tls_finish(struct config_reader *r, const struct pool_conf *pool);

#endif
