/* Allocation that cannot fail: sizes a peer can influence are checked against a budget before,
 * so running out of memory is a misconfigured machine, and the process ends, leaving its trace.
 * SPDX-License-Identifier: MIT */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* p may be NULL. Aborts when count * size overflows. */
void *mem_grow(void *p, size_t count, size_t size)
    __attribute__((returns_nonnull, warn_unused_result));
char *mem_dup(const char *p, size_t n)
    __attribute__((returns_nonnull, warn_unused_result)); /* + NUL */

#endif
