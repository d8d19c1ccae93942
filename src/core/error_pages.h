/* Pages of a site's own for errors: a file that is read with the configuration, or an internal
 * request for another path, whose response gets the status of the error.
 *
 * For errors of the gateway's; with `intercept` for backends' too. Such a request asks nobody for
 * admission, since it shows nothing but what the configuration names. When it fails itself, the
 * gateway's own page is shown, with the first status.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_ERROR_PAGES_H
#define CORE_ERROR_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config/schema.h"

struct exchange;

struct error_page_conf {
    uint8_t statuses[25];    /* a bit for each from 400 to 599 */
    struct slice path;       /* of the internal request; empty: the file counts */
    struct config_word file; /* as written */
    struct slice text, type; /* of the file */
    bool intercepts;
    struct slice said; /* the statuses as written */
};

struct error_pages {
    struct error_page_conf *v;
    uint32_t n;
    const struct error_pages *outer; /* where one that is not here may be; NULL: nowhere */
};

extern const struct key error_pages_options[];
/* Openers of the key answer what this does. */
void *error_pages_open(struct config_reader *r, struct error_pages *pages);
key_set_fn error_pages_set;
key_close_fn error_pages_close;

#define ERROR_PAGES_KEY(opener)                                                                    \
    {                                                                                              \
        .name = "error-page", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = error_pages_set,     \
        .open = opener, .close = error_pages_close, .options = error_pages_options,                \
        .syntax = "STATUS... [/PATH]",                                                             \
        .help = "what clients see instead of the gateway's page for an error: a file, or what an " \
                "internal request for the path answers; 4xx and 5xx stand for all of them"         \
    }

void error_pages_explain(const struct error_pages *pages, FILE *out);

/* An error of ours is to be answered; nothing has been. True: it is, or another route will. */
bool error_pages_show(struct exchange *x, uint16_t status);
/* A backend's head, x->resp, is there and nothing of it passed on. True: a page stands in for it.
 */
bool error_pages_intercept(struct exchange *x);
/* The head of the response is about to go out: that of a page gets the status of its error. */
void error_pages_mark(struct exchange *x);

#endif
