/* Turns what a backend says about URLs back into what the client knows, where rules have changed
 * the path's prefix or the host: Location, Content-Location, Refresh (as browsers read it) and the
 * path and domain of cookies. Flags for cookies are added here too.
 *
 * What does not point at the backend is left alone, and so is a path that has the client's prefix
 * already: an application that knows it is mounted somewhere is right as it is.
 * SPDX-License-Identifier: MIT */
#ifndef REWRITE_MAP_BACK_H
#define REWRITE_MAP_BACK_H

#include "http/field.h"

struct mapping {
    struct slice prefix, prepended; /* encoded: taken off the request's path, put before it */
    struct slice host;    /* what the backend was told it is called; empty: as the client */
    struct slice backend; /* its address, "host:port"; empty: none, or no network one */
    struct slice scheme, authority; /* that the client has asked for */
    struct slice cookie_flags;      /* "; Secure; HttpOnly"; or empty */
    bool is_on;                     /* else only the flags are looked after */
};

/* A URL or a reference to one (RFC 3986 4.1), as in Location. url itself if nothing changes. */
struct slice map_back_url(const struct mapping *m, struct slice url, struct arena *a);
/* The value of a Refresh field. */
struct slice map_back_refresh(const struct mapping *m, struct slice value, struct arena *a);
/* The value of a Set-Cookie field (RFC 6265 4.1). A domain that was the backend's goes: the cookie
 * is then of the host that the client asked. */
struct slice map_back_cookie(const struct mapping *m, struct slice value, struct arena *a);

/* All of these in a response's fields. */
void map_back_fields(const struct mapping *m, struct fields *fs, struct arena *a);

#endif
