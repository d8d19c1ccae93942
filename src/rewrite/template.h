/* Texts with parts of a request in them: "https://${host}/new/$1".
 *
 *     ${name}  ${name:ARG}   a variable, of template.def
 *     $1 ... $9  ${1}  $0    what a group of the regular expression has matched
 *     $$                     a dollar sign
 *
 * Compiled once, when the configuration is loaded. No text that a client sends gets more out of one
 * than a value: in a target it is percent-encoded where it would mean something, in HTML and JSON
 * escaped, and control characters never come through to a head. SPDX-License-Identifier: MIT */
#ifndef REWRITE_TEMPLATE_H
#define REWRITE_TEMPLATE_H

#include "base/arena.h"
#include "rewrite/facts.h"

struct config_reader;
struct config_word;

enum { TEMPLATE_SEGMENTS_MAX = 32, TEMPLATE_NO_GROUPS = 0 };

enum template_use {
    TEMPLATE_TARGET, /* a URL, or a path and query */
    TEMPLATE_PATH,   /* a path and query, without fragment */
    TEMPLATE_QUERY,  /* a query, without '?' */
    TEMPLATE_FIELD,  /* a field's value */
    TEMPLATE_TEXT,   /* a body; of HTML or XML, and of JSON, where values are escaped */
    TEMPLATE_HTML,
    TEMPLATE_JSON,
};

struct segment {
    uint8_t variable;  /* enum variable in template.c */
    uint8_t group;     /* of VAR_GROUP */
    struct slice text; /* the literal; or the name that a variable takes */
};

struct template
{
    struct segment *segments;
    uint16_t count;
    uint8_t use;      /* enum template_use */
    bool needs_port;  /* facts.port: costs a system call to know */
    bool needs_group; /* $1 ... */
};

struct template_fault {
    const char *what, *hint; /* hint: NULL, or what to do */
    struct slice at;         /* the part of the text that is wrong; empty: none can be shown */
    bool is_unknown;         /* a variable that there is not */
};

/* groups: how many the regular expression has that $1 ... refer to; TEMPLATE_NO_GROUPS: not even
 * $0. False: *fault says why. */
bool template_compile(struct slice text, enum template_use use, uint32_t groups, struct arena *a,
                      struct template *out, struct template_fault *fault);
/* The same for a word of the configuration; false: reported. */
bool template_read(struct config_reader *r, const struct config_word *word, enum template_use use,
                   uint32_t groups, struct template *out);

enum template_result {
    TEMPLATE_OK,
    TEMPLATE_CONTROL,  /* there is a control character in it */
    TEMPLATE_TOO_LONG, /* it would be longer than max */
};

/* *out lies in the arena, or where the only segment does. groups: NULL where there are none. */
enum template_result template_expand(const struct template *t, const struct facts *f,
                                     const struct groups *groups, size_t max, struct arena *a,
                                     struct slice *out);

/* Whether it is the same for every request; *out is that. */
bool template_is_fixed(const struct template *t, struct slice *out);

/* Whether it begins with this, or with a variable, which may do so. */
bool template_begins(const struct template *t, char c);

/* All variables, for the manual: name and help of the i-th; NULL behind the last. */
const char *template_variable(size_t i, const char **help);

#endif
