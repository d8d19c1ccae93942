/* Compression of responses (RFC 9110 8.4, 12.5.3): between what a backend, a file or we ourselves
 * have put into x->resp_body and what the front takes from x->outgoing. Neither knows of it.
 *
 * A response that is compressed looks as if its origin had done so: Content-Encoding, Vary, a weak
 * ETag, no Content-Length. What the encoder holds back comes out whenever the backend pauses, so
 * that events and slow pages are not held up. When the backend breaks off, so does the response:
 * the stream gets no end.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_COMPRESS_H
#define CORE_COMPRESS_H

#include <stdbool.h>

struct exchange;

/* The head of the response, x->resp, is complete and about to go to the client: makes it that of a
 * compressed one if that is wanted, possible and allowed. */
void compress_begin(struct exchange *x);
/* Encodes what there is, up to a share; its end when the response is complete. True: something
 * moved. What cannot be encoded breaks the response off. */
bool compress_run(struct exchange *x);
/* Nothing more comes for now: what is held back comes out, if the client would wait for it. True:
 * something did. */
bool compress_flush(struct exchange *x);
void compress_drop(struct exchange *x);

#endif
