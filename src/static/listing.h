/* A page with the names in a directory, for people.
 * SPDX-License-Identifier: MIT */
#ifndef STATIC_LISTING_H
#define STATIC_LISTING_H

#include "base/chain.h"
#include "static/lookup.h"

#define LISTING_TYPE SLICE("text/html; charset=utf-8")

/* For what lookup_path() found; path: as the client sees it. 0, or -errno if it cannot be read. */
int listing_put(const struct lookup *l, struct slice path, struct chain *body);

#endif
