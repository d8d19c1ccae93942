/* What `files` would find for a request, for `sluice explain`.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_FILES_EXPLAIN_H
#define CORE_FILES_EXPLAIN_H

#include "core/action.h"
#include "static/files_conf.h"

void files_explain(struct explaining *e, const struct files_conf *conf);

#endif
