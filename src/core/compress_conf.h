/* `compress`: which responses are encoded and how. A key of sites, which their routes inherit
 * unless they have their own.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_COMPRESS_CONF_H
#define CORE_COMPRESS_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "coding/coding.h"
#include "config/schema.h"

enum { COMPRESS_CODINGS = 4 };

struct compress_conf {
    const struct coding *codings[COMPRESS_CODINGS]; /* the first is preferred */
    uint32_t count;                                 /* 0: off */
    bool is_set;
    uint32_t level; /* 0: as suits the coding */
    uint64_t min;   /* bytes of a body whose length is known */
    struct slice *types;
    uint32_t type_count;
};

key_set_fn compress_set;
extern const struct key compress_options[];

/* A row of a key table whose opener answers a struct compress_conf. */
#define COMPRESS_KEY(opener)                                                                       \
    {                                                                                              \
        .name = "compress", .type = KEY_CUSTOM, .set = compress_set, .open = opener,               \
        .options = compress_options, .syntax = "on | off | CODING...",                             \
        .help =                                                                                    \
            "encode responses for clients that accept it; codings: zstd, br, gzip, the first is "  \
            "preferred. off where a response repeats what an attacker can choose beside what he "  \
            "must not know (BREACH)"                                                               \
    }

/* What the route has not said is as the site has it. */
void compress_conf_finish(struct compress_conf *route, const struct compress_conf *site);
/* Whether bodies of this type shrink. type: the value of Content-Type. */
bool compress_conf_has_type(const struct compress_conf *conf, struct slice type);
/* For `sluice explain`: a line, without its label. */
void compress_conf_explain(const struct compress_conf *conf, FILE *out);

#endif
