/* Paths for routing: decoded, with dot segments removed (RFC 3986 5.2.4, 6.2.2).
 *
 * The raw target goes to backends as it came; what routes match is the normal form, so that no
 * spelling of a path slips past a route. NUL and malformed percent-encoding are refused, and so is
 * climbing above the root.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/slice.h"

/* *out: raw itself when it is in normal form already, else a copy in the arena. */
enum parse uri_normalise_path(struct slice raw, struct arena *a, struct slice *out, struct fault *f)
    __attribute__((warn_unused_result));
/* Whether a valid path has dot segments, however they are encoded. */
bool uri_has_dots(struct slice raw);

/* Splits "host", "host:port", "[v6]:port"; port is -1 if absent. False if it is no valid authority
 * for HTTP (userinfo, bad port, bad characters). host keeps its brackets off. */
bool uri_split_authority(struct slice authority, struct slice *host, int *port);

/* Splits a target of origin-form (RFC 9112 3.2.1) into raw path and query; query.p is NULL if there
 * is none. False if it is not of that form. */
bool uri_split_target(struct slice target, struct slice *path, struct slice *query);

#endif
