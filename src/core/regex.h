/* Regular expressions of the configuration: PCRE2, compiled to machine code, matched by any thread
 * at the same time. Matching is bounded, so that no path a client invents can hold a worker.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H

#include "base/slice.h"

struct regex;

enum regex_result { REGEX_NO, REGEX_YES, REGEX_GAVE_UP };

enum { REGEX_STEPS_MAX = 100000, REGEX_ERROR_MAX = 256 };

/* NULL: error says why, and *offset where in the pattern. The new one heads the list, if any, and
 * goes with it. */
struct regex *regex_new(struct slice pattern, struct regex *list, char error[REGEX_ERROR_MAX],
                        size_t *offset);
void regex_free_all(struct regex *list);

/* GAVE_UP: the match took too many steps; whether it would have matched is unknown. */
enum regex_result regex_match(const struct regex *r, struct slice subject);

#endif
