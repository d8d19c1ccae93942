/* Key tables: what directives there are, what they take, where it is stored.
 *
 * Each module owns the rows of its struct. The same rows feed the parser, the range check, the
 * suggestions for misspelt keys, `sluice --help-keys` and the manual.
 *
 *     { "max-conns", KEY_UINT, at(struct backend_conf, max_conns), "0", "0", "1000000", ... }
 *
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/ast.h"

enum key_type {
    KEY_NONE,   /* no words: options or a block only */
    KEY_BOOL,   /* bool: on, off */
    KEY_UINT,   /* uint32_t */
    KEY_SIZE,   /* uint64_t bytes: 512, 64k, 10m, 2g */
    KEY_MS,     /* uint32_t: 250ms, 10s, 5m, 1h */
    KEY_STRING, /* struct slice */
    KEY_ENUM,   /* int, one of names */
    KEY_CUSTOM, /* set() reads the words */
};

enum key_flags {
    KEY_REQUIRED = 1,
    KEY_REPEAT = 2,   /* may stand more than once */
    KEY_ONE = 4,      /* KEY_CUSTOM: exactly one word */
    KEY_TEMPLATE = 8, /* the words may have variables of a request in them: ${path} */
    KEY_TERSE = 16,   /* the manual leaves its options out: another key's are the same */
};

struct config_reader; /* what a load works with, below */

/* Stores what the words say. word is the value: of an option, or the first word of a directive. */
typedef bool key_set_fn(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target);
/* The struct that options and block fill, where that is not the one the directive stands in. */
typedef void *key_open_fn(struct config_reader *r, const struct directive *d, void *target);
/* Checks across keys, after the block. */
typedef bool key_close_fn(struct config_reader *r, const struct directive *d, void *opened);

struct key_name {
    const char *name;
    int value;
    const char *help;
};

struct key {
    const char *name; /* NULL ends a table */
    enum key_type type;
    unsigned flags; /* enum key_flags */
    size_t at;
    size_t place; /* KEY_STRING: of a struct config_place, for what is found out later; 0: none */
    const char *init, *min, *max; /* default (NULL: zero or empty) and range */
    const char *help;
    const char *syntax;           /* how the words look in the manual; NULL: from the type */
    const char *zero;             /* a word that means 0: "auto", "off" */
    const struct key_name *names; /* KEY_ENUM; ends with a NULL name */
    const struct key *options;    /* NAME=VALUE words */
    const struct key *block;      /* directives between braces */
    key_set_fn *set;
    key_open_fn *open;
    key_close_fn *close;
};

#define at(type, member) offsetof(type, member)

struct config_reader {
    struct arena *arena; /* what is configured */
    struct config_diag *diag;
    void *root; /* the struct at the top: struct snapshot */
    const struct config_loader *loader;
    struct regex *
        *regexes; /* where regular expressions are listed, to be freed (rewrite/regex.h) */
};

/* Fills in the defaults of a table's plain values, options included. */
void config_defaults(struct config_reader *r, const struct key *keys, void *target);
/* Applies directives to target. what names the block in messages: "pool". at: for what is missing.
 * False if there was any error. */
bool config_apply(struct config_reader *r, const struct key *keys, const struct directive *first,
                  const char *what, struct config_place place, void *target);

/* The file that word names, from where the file lies that says so. False: reported. */
bool config_read_file(struct config_reader *r, const struct config_word *word, uint64_t max,
                      struct slice *text);

/* Room for one more zeroed element at the end of an array that only this function grows. */
void *config_append(struct config_reader *r, void *array, uint32_t *count, size_t size)
    __attribute__((returns_nonnull));

#endif
