/* Conditions: what has to be so of a request (or its response) for a route to take it, or for a
 * rule to apply. Written as options, NAME=VALUE, of either:
 *
 *     method=GET,HEAD  host=*.example.org  header=Accept:text/html  header=!Cookie
 *     query=page  query=lang:de  cookie=session  client=10.0.0.0/8  scheme=https  status=4xx
 *
 * '!' in front of the value turns it round; "~" in front of a text makes it a regular expression.
 * All have to hold. An option that stands more than once means any of its values, but for header,
 * query and cookie, which are all needed. SPDX-License-Identifier: MIT */
#ifndef REWRITE_MATCH_H
#define REWRITE_MATCH_H

#include "config/schema.h"
#include "rewrite/facts.h"

/* In the order of match.def. */
enum cond_kind {
#define COND(id, name, syntax, help, miss)        COND_##id,
#define ANSWER_COND(id, name, syntax, help, miss) COND_##id,
#include "rewrite/match.def"
#undef COND
#undef ANSWER_COND
};

struct text_match {
    struct slice name;   /* of a field, cookie or part of the query */
    struct slice value;  /* meaningless unless has_value: then it must be there, whatever it is */
    struct regex *regex; /* in place of the value */
    bool has_value;
};

struct cond {
    uint8_t kind; /* enum cond_kind */
    bool is_negated;
    uint32_t count;
    void *items; /* of a type as suits the kind; any of them */
};

struct match {
    struct cond *conds;
    uint32_t count;
};

/* Whether all conditions hold. *missed: the first that does not, or whose regular expression gave
 * up. */
enum regex_result match_facts(const struct match *m, const struct facts *f,
                              const struct cond **missed);
/* Why a request missed the condition: "the method is another". */
const char *match_miss(const struct cond *cond);

/* The setters of the options; targets begin with a struct match. */
key_set_fn match_set;
#define MATCH_OPTION(name_, syntax_, help_)                                                        \
    {.name = name_,                                                                                \
     .type = KEY_CUSTOM,                                                                           \
     .flags = KEY_REPEAT,                                                                          \
     .set = match_set,                                                                             \
     .syntax = syntax_,                                                                            \
     .help = help_},

#endif
