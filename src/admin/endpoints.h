/* The table of endpoints, and who answers them.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_ENDPOINTS_H
#define ADMIN_ENDPOINTS_H

#include <jansson.h>

#include "admin/server.h"
#include "core/stats.h"
#include "house/gateway.h"
#include "pool/view.h"

enum { ENDPOINT_ARGS_MAX = 2 };

struct admin {
    struct gateway *gateway;
    struct admin_server server;
    struct events *events;
    struct changes *changes;
    struct list gathers;  /* questions to the workers that are not answered yet */
    struct list upgrades; /* those who want to know how the upgrade under way ends */
    int64_t started_us;   /* wall clock */
    uint64_t begun_us;    /* monotonic */
    bool stopping;
};

/* A request that an endpoint was found for. */
struct call {
    struct admin *admin;
    struct admin_request *request;
    struct admin_conn *conn;
    struct slice args[ENDPOINT_ARGS_MAX]; /* for the '*' of the pattern; each followed by a NUL */
};

typedef void endpoint_fn(struct call *c);
#define ENDPOINT(method, pattern, function, help) endpoint_fn answer_##function;
#include "admin/endpoints.def"
#undef ENDPOINT

/* Finds who answers, and has it done. */
void endpoints_handle(struct admin *a, struct admin_request *r);

/* An upgrade has ended; why NULL: another program serves. */
void admin_upgraded(void *service, const char *why);
/* Nobody is told any more. */
void upgrades_end(struct admin *a);

/* The pool of args[0]; NULL: there is none, which has been answered. */
struct pool *find_pool(struct call *c);
/* All workers' numbers together. */
struct stats_sum gateway_stats(struct gateway *g);

/* A JSON string; what is no UTF-8 in it, as in a request's target, becomes '?'. */
json_t *json_text(struct slice s);
/* Takes json over. */
void reply_json(struct call *c, uint16_t status, json_t *json);
/* The value of NAME=NUMBER in the query, or otherwise; UINT64_MAX: it is none. */
uint64_t query_number(const struct call *c, const char *name, uint64_t otherwise);

#endif
