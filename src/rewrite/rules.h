/* What a route (or a site) changes in a request and in its response: a list of rules each for the
 * target, the request's fields, and the response.
 *
 * A rule is applied if its conditions hold. Rules are compiled when the configuration is loaded and
 * change nothing but what they are given; explain.c applies them one by one to show what they do.
 * SPDX-License-Identifier: MIT */
#ifndef REWRITE_RULES_H
#define REWRITE_RULES_H

#include "config/source.h"
#include "http/head.h"
#include "rewrite/match.h"
#include "rewrite/template.h"

enum rule_kind {
    RULE_REWRITE, /* path, and query if the template has one */
    RULE_STRIP,   /* a prefix is taken off the path */
    RULE_PREPEND, /* a prefix is put before the path */
    RULE_QUERY,
    RULE_HOST,
    RULE_SET, /* a field in place of those of its name */
    RULE_ADD,
    RULE_REMOVE,
    RULE_REPLACE, /* whatever an expression matches in a field's value */
    RULE_STATUS,
};

struct rule {
    struct match match; /* first: what the options fill */
    uint8_t kind;       /* enum rule_kind */
    uint8_t id;         /* enum field_id of name */
    bool is_last;       /* no further rule for the target */
    bool appends;       /* the query that was there, behind the new one */
    uint16_t status;    /* RULE_STATUS */
    uint32_t groups;    /* of the route's expression, for templates: see template_compile() */
    struct slice name;  /* of a field; RULE_STRIP, RULE_PREPEND: the prefix, without '/' behind */
    struct regex *regex;
    struct template value;
    struct slice text; /* as it was written, for explain */
    struct config_place at;
};

struct rule_list {
    struct rule *v;
    uint32_t n;
};

enum map_back { MAP_BACK_AUTO, MAP_BACK_ON, MAP_BACK_OFF };

/* What a route rewrites; those without have none. */
struct rewrite {
    struct rule_list target, request, response;
    int map_back;              /* enum map_back */
    struct slice cookie_flags; /* "; Secure; HttpOnly": added to cookies that lack them; or empty */
    bool needs_port, needs_groups; /* some template does */
};

enum rule_result {
    RULE_SKIPPED, /* it does not apply */
    RULE_APPLIED,
    RULE_COSTLY,  /* its regular expression took too many steps */
    RULE_CONTROL, /* what came out has control characters */
    RULE_TOO_LONG,
    RULE_NO_PATH, /* what came out is no path or climbs above the root */
    RULE_NO_HOST, /* what came out is no host */
};

/* What of a target is not the backend's affair, but that of who answers for it. Empty: as it came.
 */
struct mount {
    struct slice host;              /* for the Host field */
    struct slice prefix, prepended; /* taken off the path, put before it */
};

/* What became of a target: raw path and query as they go on. */
struct target {
    struct slice path, query;
    bool has_query;
    struct mount mount;
};

/* Applies a rule for targets to t; f->path, f->query and f->prefix follow. max: bytes that may come
 * out of a template. */
enum rule_result rule_apply_target(const struct rule *rule, struct facts *f, struct target *t,
                                   size_t max, struct arena *a);
/* Applies a rule for fields to fs. */
enum rule_result rule_apply_fields(const struct rule *rule, const struct facts *f,
                                   struct fields *fs, size_t max, struct arena *a);
/* The same for a response, of which the status may be changed too. */
enum rule_result rule_apply_response(const struct rule *rule, struct facts *f,
                                     struct response_head *head, size_t max, struct arena *a);

/* All rules of a list in turn. The first result that is neither SKIPPED nor APPLIED ends it, and is
 * the answer; *failed is that rule. */
enum rule_result rules_apply_target(const struct rule_list *rules, struct facts *f,
                                    struct target *t, size_t max, struct arena *a,
                                    const struct rule **failed);
enum rule_result rules_apply_fields(const struct rule_list *rules, const struct facts *f,
                                    struct fields *fs, size_t max, struct arena *a,
                                    const struct rule **failed);

/* "takes too many steps": behind the rule's text. */
const char *rule_result_text(enum rule_result result);

#endif
