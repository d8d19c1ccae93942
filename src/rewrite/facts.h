/* What is known of a request, for conditions (match.h) and templates (template.h) to look at.
 * Slices are borrowed; what is not known is empty. SPDX-License-Identifier: MIT */
#ifndef REWRITE_FACTS_H
#define REWRITE_FACTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "http/field.h"
#include "rewrite/regex.h"

struct facts {
    struct slice host; /* without port; any case */
    struct slice path; /* normalised (uri_normalise_path), or "*" */
    struct slice query;
    struct slice method;
    struct slice scheme;           /* "http", "https" */
    const struct fields *fields;   /* NULL: none */
    const struct sockaddr *client; /* NULL: unknown, matches no client= */
    bool is_internal;              /* sent by an answer or another route, not by a client */
    uint16_t status;               /* of the response; 0: there is none yet */

    /* For templates alone. */
    struct slice target;    /* as the client asked for it */
    struct slice authority; /* host and port */
    struct slice client_text, site, pool;
    struct slice prefix;         /* taken off by strip-prefix */
    const struct fields *answer; /* the response's; NULL: there is none yet */
    const struct groups *groups; /* of the route's regular expression; NULL: it has none */
    uint16_t port;               /* that the client connected to */
    uint64_t id;
};

#endif
