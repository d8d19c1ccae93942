/* What changes while the gateway runs, as server-sent events (HTML, "Server-sent events"):
 * reloads, stops, changes made at run time, and backends that change their state or come and go.
 *
 * Pools are looked at twice a second, and only while somebody listens.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_EVENTS_H
#define ADMIN_EVENTS_H

#include <jansson.h>

struct events;
struct gateway;

struct events *events_new(struct gateway *g);
void events_free(struct events *e);
/* Tells all who listen; takes data over. */
void events_tell(struct events *e, const char *event, json_t *data);
/* Another configuration is in place. */
void events_tell_reload(struct events *e);

#endif
