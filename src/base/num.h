/* The only place where digits become numbers. Every function is exact: no sign, no blanks, no
 * overflow, the whole slice or nothing.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

bool num_dec(struct slice s, uint64_t *out) __attribute__((warn_unused_result));
bool num_hex(struct slice s, uint64_t *out) __attribute__((warn_unused_result));
/* "512", "64k", "10m", "2g" (powers of 1024) in bytes. */
bool num_size(struct slice s, uint64_t *bytes) __attribute__((warn_unused_result));
/* "250ms", "10s", "5m", "1h", "1d" in milliseconds; the unit is required except for 0. */
bool num_ms(struct slice s, uint64_t *ms) __attribute__((warn_unused_result));

enum { NUM_DEC_MAX = 20, NUM_HEX_MAX = 16 };
/* Write digits at p, no NUL; answer how many. */
size_t num_put_dec(char *p, uint64_t v);
size_t num_put_hex(char *p, uint64_t v);

#endif
