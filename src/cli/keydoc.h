/* The reference of all configuration keys, made from their tables.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_KEYDOC_H
#define CLI_KEYDOC_H

#include <stdio.h>

#include "config/schema.h"

void keydoc_text(FILE *out, const struct key *keys);     /* for a terminal */
void keydoc_markdown(FILE *out, const struct key *keys); /* the tables in docs/configuration.md */
void keydoc_man(FILE *out, const struct key *keys);      /* the keys' part of sluice.conf(5) */

#endif
