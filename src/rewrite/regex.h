/* Regular expressions of the configuration: PCRE2, compiled to machine code, matched by any thread
 * at the same time. Matching is bounded, so that no text a client invents can hold a worker.
 * SPDX-License-Identifier: MIT */
#ifndef REWRITE_REGEX_H
#define REWRITE_REGEX_H

#include <stdint.h>

#include "base/slice.h"

struct config_reader;
struct config_word;
struct regex;

enum regex_result { REGEX_NO, REGEX_YES, REGEX_GAVE_UP };

enum { REGEX_ERROR_MAX = 256, REGEX_GROUPS = 10 };
enum { REGEX_STEPS_MAX = 50000 }; /* some hundred microseconds: others wait for them */

/* What the groups of a match cover: [0] is all of it. p is NULL for one that took no part. */
struct groups {
    struct slice v[REGEX_GROUPS];
    uint32_t n; /* those behind are not there */
};

/* NULL: error says why, and *offset where in the pattern. The new one heads the list, and goes with
 * it. */
struct regex *regex_new(struct slice pattern, struct regex **list, char error[REGEX_ERROR_MAX],
                        size_t *offset);
/* The same for a word of the configuration, for as long as that lives. NULL: reported. */
struct regex *regex_read(struct config_reader *r, const struct config_word *word,
                         struct slice pattern);
void regex_free_all(struct regex *list);
/* How many groups there are in parentheses, at most REGEX_GROUPS - 1. */
uint32_t regex_group_count(const struct regex *r);

/* GAVE_UP: the match took too many steps; whether it would have matched is unknown. */
enum regex_result regex_match(const struct regex *r, struct slice subject);
/* Begins at byte `from`; fills *groups, which refer to the subject, on REGEX_YES. */
enum regex_result regex_find(const struct regex *r, struct slice subject, size_t from,
                             struct groups *groups);

/* Frees what this thread matched with. A thread that has matched calls it before it ends. */
void regex_end_thread(void);

#endif
