/* What `sluice check` finds beyond the configuration itself: what would fail at start.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "core/snapshot.h"

/* Looks up users and groups, and tries whether logs can be written and names resolve (that, as the
 * network may be another one here, only warns). Blocks. Reports to diag. */
void check_surroundings(const struct snapshot *s, struct config_diag *diag);

#endif
