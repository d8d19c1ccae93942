/* What the files of FastCGI share. Nobody else includes this.
 * SPDX-License-Identifier: MIT */
#ifndef CODEC_FCGI_INTERNAL_H
#define CODEC_FCGI_INTERNAL_H

#include "codec/fcgi.h"

enum { FCGI_VERSION = 1, FCGI_HEADER_BYTES = 8, FCGI_END_BYTES = 8 };

/* FastCGI 8 */
enum fcgi_type {
    BEGIN_REQUEST = 1,
    ABORT_REQUEST,
    END_REQUEST,
    PARAMS,
    STDIN,
    STDOUT,
    STDERR,
    DATA,
    GET_VALUES,
    GET_VALUES_RESULT,
    UNKNOWN_TYPE,
    TYPES,
};

/* FastCGI 8: in END_REQUEST, behind FCGI_STATUS_AT bytes of its content */
enum protocol_status { REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE };
enum { FCGI_STATUS_AT = 4 };

void fcgi_copy_header(struct chain *out, enum fcgi_type type, uint16_t id, size_t content);

/* The state is a lane's: its requests have this id, on a connection that lasts. */
void fcgi_set_lane(void *state, uint16_t id);

extern const struct mux fcgi_mux;

#endif
