/* A site: the host names it answers to and its routes, tried in file order.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_SITE_CONF_H
#define CORE_SITE_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "config/schema.h"
#include "config/source.h"
#include "core/route.h"
#include "core/tls_conf.h"

struct site_name {
    struct slice text; /* lower case: "example.org", "*.example.org", "*" */
    struct config_place at;
};

/* RFC 6797: browsers that came by TLS once never come without it again. */
struct hsts_conf {
    uint32_t max_age_s;
    bool subdomains, preload;
    struct slice value; /* of the field; empty: none is sent */
};

struct site_conf {
    struct site_name *names;
    uint32_t name_count;
    struct route_conf *routes;
    uint32_t route_count;
    struct script_conf script;     /* what routes inherit */
    struct compress_conf compress; /* the same */
    struct serve_conf serve;       /* the same */
    struct error_pages pages;      /* the same */
    struct rewrite *rewrite;       /* the same, or NULL; but its rules for targets come first */
    struct admission *admission;   /* the same */
    struct tls_pair_conf *pairs;   /* certificates for all TLS listeners */
    uint32_t pair_count;
    struct hsts_conf hsts;
    struct config_place at;
};

/* What may stand in a site's block, and what reads the names of `site NAME ...`. */
extern const struct key site_keys[];
key_set_fn site_conf_set;

#endif
