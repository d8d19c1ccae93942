/* The page that a client sees when we answer ourselves: status, one sentence for people, and the
 * id under which the logs know what happened. Nothing of the request is repeated on it.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ERROR_PAGE_H
#define CORE_ERROR_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/field.h"

enum error_format { ERROR_PLAIN, ERROR_HTML };
enum { ERROR_PAGE_MAX = 2048 };

/* HTML for those whose Accept names it (browsers), plain text for the rest (curl, programs). */
enum error_format error_page_format(const struct fields *fields);
struct slice error_page_type(enum error_format format); /* for Content-Type */
/* Writes the page at p (ERROR_PAGE_MAX bytes are enough); answers its length. id 0: none shown. */
size_t error_page_put(char *p, size_t n, enum error_format format, uint16_t status, uint64_t id);
/* The sentence alone. */
const char *error_page_sentence(uint16_t status);

#endif
