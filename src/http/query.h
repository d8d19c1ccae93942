/* The query of a target, as forms write it: name=value pairs with '&' between them.
 *
 * Nothing is decoded in place: names and values come as they were sent, and are compared with
 * what they stand for, so that no spelling of one passes for another.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_QUERY_H
#define HTTP_QUERY_H

#include <stdbool.h>

#include "base/slice.h"

/* Takes the next pair off *query. False at the end. A pair without '=' has no value. */
bool query_next(struct slice *query, struct slice *name, struct slice *value);
/* The value of the first pair of this name, as sent; false: there is none. */
bool query_find(struct slice query, struct slice name, struct slice *value);
/* Whether what was sent stands for text: %XX and '+' are decoded. */
bool query_means(struct slice sent, struct slice text);
/* Decodes into p, which has room for sent.n bytes; what is no valid %XX stays as it is. */
struct slice query_decode(struct slice sent, char *p);

#endif
