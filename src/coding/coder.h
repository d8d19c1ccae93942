/* One response being encoded, and the states that a worker keeps for the next ones.
 *
 * What goes in is a slice; what comes out lies at the end of a chain, which may get a little more
 * than its window allows: what the encoder has held back, at most some hundred kilobytes.
 * SPDX-License-Identifier: MIT */
#ifndef CODING_CODER_H
#define CODING_CODER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/chain.h"
#include "coding/coding.h"

struct coder {
    const struct coding *coding;
    void *state;
    struct coder *next; /* while it is spare */
    bool holds_back;    /* something went in that may not have come out */
};

enum { CODER_SPARE_BYTES = 16 * 1024 * 1024 };

/* A worker's. Counted by what a state may take at most. */
struct coder_pool {
    struct coder *spare;
    uint64_t bytes;       /* of all */
    uint64_t spare_bytes; /* of those that wait for a stream; at most CODER_SPARE_BYTES */
};

/* max_bytes: of all coders of the pool. NULL: there would be more. */
struct coder *coder_take(struct coder_pool *pool, const struct coding *coding, int level,
                         uint64_t max_bytes);
/* Back to the pool, in the middle of a stream or at its end. */
void coder_give(struct coder_pool *pool, struct coder *coder);
void coder_pool_fini(struct coder_pool *pool);

/* Encodes data. False: it cannot go on, and the stream is worth nothing. */
bool coder_put(struct coder *coder, struct slice data, struct chain *out);
/* Everything that went in can be decoded from what has come out. */
bool coder_flush(struct coder *coder, struct chain *out);
/* The stream is complete. */
bool coder_end(struct coder *coder, struct chain *out);

#endif
