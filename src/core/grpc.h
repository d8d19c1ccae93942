/* Errors of ours as a gRPC client understands them: not a page, but a response of 200 with a status
 * of gRPC's own among the fields ("Trailers-Only").
 * SPDX-License-Identifier: MIT */
#ifndef CORE_GRPC_H
#define CORE_GRPC_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;

/* Whether a gRPC client asks. */
bool grpc_asks(const struct exchange *x);
/* Makes of x->resp, just begun, the answer that says what `status` of HTTP would. */
void grpc_answer_error(struct exchange *x, uint16_t status);

#endif
