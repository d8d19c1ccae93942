/* What a TLS listener is configured with: the block of `listen ADDRESS tls`, and the certificates
 * of sites. Paths only: files are read when the configuration is put in place (tls_front.h).
 * SPDX-License-Identifier: MIT */
#ifndef CORE_TLS_CONF_H
#define CORE_TLS_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"
#include "config/source.h"
#include "net/tls.h"

struct tls_pair_conf {
    struct slice certificate, key, ocsp; /* paths, each followed by a NUL; ocsp may be empty */
    struct config_place at;
};

struct tls_conf {
    struct tls_pair_conf *pairs;
    uint32_t pair_count;
    int min, max;                         /* enum tls_version */
    struct slice ciphers, suites, curves; /* followed by a NUL; empty: ours */
    bool h2, http1;                       /* by ALPN */
    bool tickets;
    bool kernel;
    struct slice client_ca; /* a path, followed by a NUL; empty: no client certificates */
    int verify;             /* enum tls_verify: what clients must do if there is client_ca */
    uint32_t handshake_ms;
    struct config_place at;
};

extern const struct key tls_listen_keys[]; /* their target is a struct listen_conf */
extern const struct key tls_pair_options[];
key_set_fn tls_pair_set;

#endif
