/* The keys that rules are written with.
 * SPDX-License-Identifier: MIT */
#ifndef REWRITE_RULES_CONF_H
#define REWRITE_RULES_CONF_H

#include "config/schema.h"
#include "rewrite/rules.h"

/* A new rule of the list that the directive belongs to. *rewrite: made if there is none. groups: as
 * in struct rule. */
void *rules_open(struct config_reader *r, const struct directive *d, struct rewrite **rewrite,
                 uint32_t groups);
/* What a site has for all its routes, in front of what the route has. The target's rules of a site
 * are its own: they are applied before a route is looked for. */
void rules_inherit(struct config_reader *r, struct rewrite **route, const struct rewrite *site);

/* Targets are a struct rule of rules_open(), but a struct rewrite for these two. */
key_set_fn rules_set, rules_set_map_back, rules_set_cookie_flags;
struct rewrite *rules_of(struct config_reader *r, struct rewrite **rewrite);

extern const struct key rules_options[], rules_answer_options[], rules_cookie_options[];

/* clang-format off */
/* The rows of a table: rule_opener calls rules_open(), rewrite_opener rules_of(). */
#define RULES_KEYS(rule_opener, rewrite_opener)                                                    \
    {.name = "rewrite", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_TEMPLATE,        \
     .set = rules_set,                                                                             \
     .open = rule_opener, .options = rules_options,                                                \
     .syntax = "REGEX TEMPLATE [last] [append] [CONDITION ...]",                                   \
     .help = "a path that matches becomes the template; with a '?' in it the query too, behind "   \
             "which 'append' puts the one that was there; 'last' leaves out the rules behind it. " \
             "In a site: before its routes are looked at"},                                        \
    {.name = "strip-prefix", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_ONE,        \
     .set = rules_set,                                                                             \
     .open = rule_opener, .options = rules_options, .syntax = "/PATH [CONDITION ...]",             \
     .help = "take this off the front of the path; responses are mapped back (map-back)"},         \
    {.name = "add-prefix", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_ONE,          \
     .set = rules_set,                                                                             \
     .open = rule_opener, .options = rules_options, .syntax = "/PATH [CONDITION ...]",             \
     .help = "put this in front of the path; responses are mapped back (map-back)"},               \
    {.name = "set-query", .type = KEY_CUSTOM,                                                      \
     .flags = KEY_REPEAT | KEY_TERSE | KEY_ONE | KEY_TEMPLATE,                                     \
     .set = rules_set, .open = rule_opener, .options = rules_options,                              \
     .syntax = "TEMPLATE [CONDITION ...]",                                                         \
     .help = "the query becomes this; with \"\" there is none"},                                   \
    {.name = "set-host", .type = KEY_CUSTOM,                                                       \
     .flags = KEY_REPEAT | KEY_TERSE | KEY_ONE | KEY_TEMPLATE,                                     \
     .set = rules_set, .open = rule_opener, .options = rules_options,                              \
     .syntax = "TEMPLATE [CONDITION ...]",                                                         \
     .help = "the Host that the backend sees, in place of what its pool says; responses are "      \
             "mapped back (map-back)"},                                                            \
    {.name = "set-header", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_TEMPLATE,     \
     .set = rules_set, .open = rule_opener, .options = rules_answer_options,                       \
     .syntax = "request | response NAME TEMPLATE [CONDITION ...]",                                 \
     .help = "a field with this value, in place of those of its name; none if it is empty"},       \
    {.name = "add-header", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_TEMPLATE,     \
     .set = rules_set, .open = rule_opener, .options = rules_answer_options,                       \
     .syntax = "request | response NAME TEMPLATE [CONDITION ...]", .help = "one more field"},      \
    {.name = "remove-header", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE,                 \
     .set = rules_set,                                                                             \
     .open = rule_opener, .options = rules_answer_options,                                         \
     .syntax = "request | response NAME | PREFIX* [CONDITION ...]",                                \
     .help = "no field of this name"},                                                             \
    {.name = "replace-header", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_TERSE | KEY_TEMPLATE, \
     .set = rules_set, .open = rule_opener, .options = rules_answer_options,                       \
     .syntax = "request | response NAME REGEX TEMPLATE [CONDITION ...]",                           \
     .help = "what matches in the values of a field becomes the template"},                        \
    {.name = "set-status", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_ONE, .set = rules_set,    \
     .open = rule_opener, .options = rules_answer_options, .syntax = "STATUS",                     \
     .help = "the status of the response: set-status 503 status=502. The conditions of the rules " \
             "above are the same; status= is for those of responses"},                             \
    {.name = "map-back", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = rules_set_map_back,          \
     .open = rewrite_opener, .syntax = "auto | on | off",                                          \
     .help = "whether Location, Content-Location, Refresh and Set-Cookie of responses are turned " \
             "back into what the client knows; auto: where a rule has changed prefix or host"},    \
    {.name = "cookie-flags", .type = KEY_CUSTOM, .set = rules_set_cookie_flags,                    \
     .open = rewrite_opener, .options = rules_cookie_options,                                      \
     .syntax = "[secure] [httponly]",                                                              \
     .help = "flags for the cookies that responses set, if they lack them"}
/* clang-format on */

#endif
