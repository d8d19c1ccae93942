/* What the commands that talk to a running gateway share: finding it, asking it, complaining.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_CLI_REMOTE_H
#define ADMIN_CLI_REMOTE_H

#include <jansson.h>

#include "admin/remote.h"
#include "cli/cli.h"

/* Where the gateway listens: --admin, or the configuration's `admin`. False, and a message. */
bool cli_find_gateway(const struct cli_args *args, struct remote_address *address);
/* One request and its answer as JSON. NULL, and a message, unless the status is 2xx. */
json_t *cli_ask(const struct cli_args *args, const char *method, const char *path, json_t *body);
/* Says what went wrong; NULL if nothing did: the JSON of the answer. */
json_t *cli_take_answer(const char *command, const struct remote_address *address,
                        const struct remote_answer *answer);

enum { CLI_PATH_MAX = 4096 };
/* A path of two literals, each followed by a word that is percent-encoded; more and last may be
 * NULL. Cut at CLI_PATH_MAX / 2. */
void cli_put_path(char *out, const char *start, const char *word, const char *more,
                  const char *last);

/* Values in JSON, by "a.b.c"; 0 or "" if there are none. */
uint64_t json_number_at(const json_t *json, const char *path);
const char *json_text_at(const json_t *json, const char *path);
/* A latency object's buckets. */
struct hist_sum;
void json_read_hist(const json_t *latency, struct hist_sum *sum);

extern command_fn cli_run_top;

#endif
