/* A content coding (RFC 9110 8.4.1) that responses are encoded with: a library for compression
 * behind four functions. Each is one file and one line of codings.def; nobody else knows one by
 * name. Pure: no clock, no system call, and no memory but the library's own.
 * SPDX-License-Identifier: MIT */
#ifndef CODING_CODING_H
#define CODING_CODING_H

#include <stddef.h>

#include "base/slice.h"

enum { CODING_LEVEL_MAX = 9 }; /* levels are 1, the quickest, to 9 */

/* What is wanted besides taking the input in. */
enum coding_op {
    CODING_RUN,   /* nothing: the encoder may keep what it likes */
    CODING_FLUSH, /* whatever went in can be decoded from what came out */
    CODING_END,   /* the same, and the stream is complete */
};

enum coding_step {
    CODING_DONE, /* all of the input is taken, and what op wants has come out */
    CODING_FULL, /* there is more to come out: call again, with the same op */
    CODING_BAD,  /* the library cannot go on */
};

struct coding {
    struct slice name;
    int level;             /* unless configured */
    size_t max_bytes;      /* what a state takes at most, whatever the level */
    void *(*create)(void); /* a state; it gets a stream to encode by begin only */
    /* A new stream. Whatever the last one was left in is forgotten. */
    void (*begin)(void *state, int level);
    /* Takes from the front of *in and writes up to *n bytes at p, which becomes their number. */
    enum coding_step (*encode)(void *state, enum coding_op op, struct slice *in, char *p,
                               size_t *n);
    void (*destroy)(void *state);
};

/* In the order in which they are preferred where a client takes several. NULL behind the last. */
const struct coding *coding_at(unsigned i);
const struct coding *coding_find(struct slice name);

#endif
