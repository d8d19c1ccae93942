/* Host names where the configuration names them: sites, conditions.
 * SPDX-License-Identifier: MIT */
#ifndef CONFIG_HOSTNAME_H
#define CONFIG_HOSTNAME_H

#include "config/schema.h"

/* A host name, a wildcard (*.NAME) or a literal address, without port; *out in the form that is
 * compared: lower case. False: reported. */
bool hostname_read(struct config_reader *r, const struct config_word *word, struct slice text,
                   struct slice *out);

#endif
