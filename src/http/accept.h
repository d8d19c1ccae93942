/* What a client takes: the content codings of Accept-Encoding (RFC 9110 12.5.3) and the media types
 * of Accept (12.5.1), with their weights.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/field.h"

enum { ACCEPT_MAX = 8, ACCEPT_FULL = 1000 }; /* weights are thousandths */

/* What the field says of the names asked for. */
struct accept {
    const struct slice *names; /* lower case */
    unsigned n;                /* at most ACCEPT_MAX */
    uint16_t weight[ACCEPT_MAX];
    uint16_t identity; /* of sending it as it is */
};

/* Fills in the weights. A name that the field does not have gets that of "*", else 0; identity gets
 * ACCEPT_FULL if "*" does not say otherwise, but counts as wanted least (1) unless it is named. A
 * field that is missing or does not follow the grammar asks for nothing. */
void accept_encoding(struct accept *a, const struct fields *fields);
/* The same of media types, but a range with a wildcard names none of them. */
void accept_types(struct accept *a, const struct fields *fields);

#endif
