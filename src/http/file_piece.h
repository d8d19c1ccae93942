/* The value of X-Sendfile2: "PATH FIRST-LAST, PATH FIRST-", the path percent-encoded, the last
 * position included; pieces of files that make up a body, in this order.
 * SPDX-License-Identifier: MIT */
#ifndef HTTP_FILE_PIECE_H
#define HTTP_FILE_PIECE_H

#include <stdint.h>

#include "base/slice.h"

struct file_piece {
    struct slice path; /* encoded */
    uint64_t first, last;
    bool is_open; /* up to the end of the file */
};

/* Takes the next one off *rest. False: there is none, and then *rest is empty unless what is there
 * is no piece. */
bool file_piece_next(struct slice *rest, struct file_piece *piece);

#endif
