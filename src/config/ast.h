/* A configuration text as a tree of directives; what they mean is schema.h's.
 *
 *     directive = word { word } [ "{" directives "}" ]
 *
 * Directives end at a line end or at ';'. A word that begins with NAME= (NAME in lower case, not
 * quoted) is an option. `include GLOB` is replaced by the directives of the files. ${NAME} and
 * ${NAME:-default} are replaced inside words and never split one.
 *
 * No system call is made here: files and the environment come through the loader.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_AST_H
#define CONFIG_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "config/diag.h"
#include "config/source.h"

enum { CONFIG_DEPTH_MAX = 16, CONFIG_INCLUDE_MAX = 16, CONFIG_FILES_MAX = 1000 };

struct config_word {
    struct slice option; /* NAME of NAME=text; empty for other words */
    struct slice text;   /* followed by a NUL */
    struct config_place at;
    bool is_bad;                 /* reported already: means nothing */
    bool has_variable;           /* a ${name} of a request */
    struct config_place text_at; /* behind the '=' of an option, else at */
};

struct directive {
    struct directive *next;
    struct config_word name;
    struct config_word *args; /* words that are no options */
    struct config_word *options;
    uint32_t arg_count, option_count;
    bool has_block;
    struct directive *block; /* first directive between the braces */
};

struct config_loader {
    void *context;
    /* Reads a file; *why says why not (from the arena or static). */
    bool (*read)(void *context, struct slice path, struct arena *a, struct slice *text,
                 const char **why);
    /* The files a pattern names, sorted, relative patterns beginning at the directory of `from`
     * (empty: where the process runs). A pattern without wildcards names one file, which read()
     * then misses if it is not there. Answers the count. */
    uint32_t (*glob)(void *context, struct slice pattern, struct slice from, struct arena *a,
                     struct slice **paths);
    /* A variable's value, or NULL. */
    const char *(*env)(void *context, const char *name);
};

/* Parse a file, or a text that no file holds and name stands for. Everything is allocated in the
 * arena. False when the structure is broken, so that what was read says nothing about what is
 * meant; words that are wrong in themselves are only marked. Errors are in diag. */
bool config_parse_file(struct slice path, const struct config_loader *loader, struct arena *a,
                       struct config_diag *diag, struct directive **first);
bool config_parse_text(struct slice name, struct slice text, const struct config_loader *loader,
                       struct arena *a, struct config_diag *diag, struct directive **first);

/* The line as it was written, but for its spaces, quotes and the order of its options. */
struct slice config_directive_text(const struct directive *d, struct arena *a);

#endif
