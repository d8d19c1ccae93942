/* Credentials of the Basic scheme (RFC 7617 2): Authorization: Basic base64(user ":" password).
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_CREDENTIALS_H
#define HTTP_CREDENTIALS_H

#include <stdbool.h>

#include "base/slice.h"

/* value: of the Authorization field. room: at least value.n bytes, in which user and password come
 * to lie. False: it is of another scheme, or not as the RFC has it. */
bool credentials_basic(struct slice value, char *room, struct slice *user, struct slice *password);

#endif
