/* Bodies that lie in files, for clients whose connection others share (HTTP/2): between
 * x->resp_body and what the front takes from x->outgoing they are read into memory. Once a frame
 * has begun, its bytes are owed: a file that had become shorter meanwhile would cost all responses
 * of the connection, where one that cannot be read here costs its own alone.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_LIFT_H
#define CORE_LIFT_H

#include <stdbool.h>

struct exchange;

/* The head of the response is about to go out; after compress_begin, which reads files itself. */
void lift_begin(struct exchange *x);
/* Reads a piece, while there is room. True: something moved. What cannot be read breaks the
 * response off. */
bool lift_run(struct exchange *x);

#endif
