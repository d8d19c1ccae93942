/* What of a request says who is counted: `key=client`, `key=header:X-Api-Key`.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_REQUEST_KEY_H
#define CORE_REQUEST_KEY_H

#include <stdbool.h>

#include "base/slice.h"

struct exchange;

enum request_key_kind {
    REQUEST_KEY_CLIENT,
    REQUEST_KEY_ALL,
    REQUEST_KEY_HOST,
    REQUEST_KEY_PATH,
    REQUEST_KEY_HEADER,
    REQUEST_KEY_COOKIE,
};

struct request_key {
    enum request_key_kind kind;
    struct slice name; /* of the header or cookie */
};

#define REQUEST_KEY_SYNTAX "client | all | host | path | header:NAME | cookie:NAME"

/* False: it is none. */
bool request_key_parse(struct slice text, struct request_key *key);
/* The bytes that stand for the key of x. Clients of IPv6 count by their /64; requests without the
 * header or cookie, by their client, and are told from others by *is_client. */
struct slice request_key_of(const struct exchange *x, const struct request_key *key,
                            bool *is_client);

#endif
