/* The applications that run as processes of ours: joins what proc/supervise keeps running to the
 * pools that send requests there. Lives on the main thread's loop.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_APPS_H
#define HOUSE_APPS_H

#include "core/app_defs.h"
#include "core/generation.h"
#include "net/loop.h"

struct apps;

/* channel: to the spawner, taken over. NULL: *error is -errno. */
struct apps *apps_new(struct loop *l, int channel, int *error);
/* KILLs what still runs. */
void apps_free(struct apps *apps);

/* Starts the applications of pools that have none yet, and stops those of pools that are gone. One
 * that is to be run in another way is started beside the old one, which goes when it is ready. */
void apps_follow(struct apps *apps, struct generation *g);
/* No request is left: stops all; then done(ctx). */
void apps_stop(struct apps *apps, void (*done)(void *ctx), void *ctx);
/* The spawner is another one. */
void apps_reconnect(struct apps *apps, int channel);
/* Replaces the processes of a pool, a few at a time. False: it has none. */
bool apps_restart(struct apps *apps, struct slice pool);

/* For the admin interface. */
struct app;
const struct app *apps_find(const struct apps *apps, struct slice pool);

#endif
