/* What the two kinds of `auth` share: one line of the configuration.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ADMIT_AUTH_H
#define CORE_ADMIT_AUTH_H

#include "core/admit.h"
#include "core/route.h"
#include "core/user_file.h"

struct auth_conf {
    struct admission *admission; /* that it belongs to, while it is read */
    struct config_place at;

    /* basic */
    struct slice realm;
    struct slice challenge;  /* of WWW-Authenticate */
    struct config_word file; /* text empty: not said */
    struct users users;
    uint32_t keep_ms;
    bool passes;         /* Authorization goes on to the backend */
    struct slice header; /* that tells it the user; empty: none */

    /* forward */
    struct route_conf route; /* of the request that asks */
    struct slice path;
    struct slice *copy; /* fields of the answer that go on to the backend */
    uint32_t copy_count;
    uint32_t timeout_ms;
    bool adds_cookies; /* of the answer to the response */
    bool is_authorizer;
};

extern const struct gate basic_gate, forward_gate;

#endif
