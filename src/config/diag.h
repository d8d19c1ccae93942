/* What is wrong with a configuration, collected while loading so that one run shows it all.
 *
 *     sluice.conf:12:5: error: unknown key 'blance' in pool
 *         blance  round-robin
 *         ^
 *         hint: did you mean 'balance'?
 *
 * Texts are copied: a report outlives the files it is about.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_DIAG_H
#define CONFIG_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "config/source.h"

enum { DIAG_ERRORS_MAX = 20, DIAG_WARNINGS_MAX = 50 };

enum diag_level { DIAG_WARNING, DIAG_ERROR };

struct diag {
    struct diag *next;
    enum diag_level level;
    struct slice path;     /* empty: no file says this */
    uint32_t line, column; /* 0: the file as a whole */
    struct slice what;
    struct slice source; /* the line, without its end */
    struct slice hint;   /* empty: none */
};

struct config_diag {
    struct diag *first, *last;
    uint32_t errors, warnings; /* also those past the maximum, which are not kept */
    struct buf_pool memory;
    struct arena arena;
};

void config_diag_init(struct config_diag *d);
void config_diag_fini(struct config_diag *d);

/* The text after a newline in the message is the hint. Error answers false, for `return`. */
bool config_error(struct config_diag *d, struct config_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_warn(struct config_diag *d, struct config_place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Full: nothing more would be kept. */
bool config_diag_is_full(const struct config_diag *d);

/* As shown above, each report ending in a newline; from an arena. */
struct slice config_diag_print(const struct config_diag *d, struct arena *a);

#endif
