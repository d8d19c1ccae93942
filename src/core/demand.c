/* SPDX-License-Identifier: MIT */
#include "core/demand.h"

#include <netinet/in.h>
#include <string.h>

#include "base/map.h"
#include "base/num.h"
#include "core/asker.h"
#include "core/exchange.h"
#include "core/route.h"
#include "core/worker.h"
#include "http/cookie.h"
#include "rewrite/map_back.h"
#include "rewrite/rules.h"

/* The same in every gateway: several of them send the same request to the same backend. */
static const struct map_key hash_key = {0x736c756963652d68, 0x6173682d6b65792d};

/* Which flow of the queue: the address, whatever its port. */
static uint64_t hash_of_asker(const struct net_addr *asker)
{
    uint64_t h = 0;
    if (asker->sa.sa_family == AF_INET)
        h = asker->in4.sin_addr.s_addr;
    else if (asker->sa.sa_family == AF_INET6) /* a client has a whole /64 to itself */
        memcpy(&h, &asker->in6.sin6_addr, sizeof(h));
    return h * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static struct slice hashed_part(const struct exchange *x, const struct pool_conf *conf)
{
    struct slice value = SLICE_NONE;
    const struct field *field;
    switch ((enum hash_kind)conf->hash_kind) {
    case HASH_CLIENT: return SLICE_NONE;
    case HASH_HOST: return x->req.authority;
    case HASH_PATH: return x->path;
    case HASH_URI: return x->req.target;
    case HASH_HEADER:
        field = fields_find_name(&x->req.fields, conf->hash_name);
        return field ? field->value : SLICE_NONE;
    case HASH_COOKIE: cookie_find(&x->req.fields, conf->hash_name, &value); return value;
    }
    return value;
}

/* Requests without the part go by their client, or all would go to one backend. */
static uint64_t hash_of_request(const struct exchange *x, const struct pool_conf *conf)
{
    struct slice part = hashed_part(x, conf);
    return map_siphash13(hash_key, part.n ? part : x->asker_text);
}

static uint64_t named_backend(const struct exchange *x, const struct pool_conf *conf)
{
    struct slice value;
    uint64_t stick = 0;
    if (!cookie_find(&x->req.fields, conf->sticky, &value) || !num_hex(value, &stick))
        return 0;
    return stick;
}

void demand_init(struct exchange *x)
{
    const struct pool_conf *conf = x->attempt.pool->conf;
    struct demand *d = &x->attempt.demand;
    d->client = hash_of_asker(&x->asker);
    d->class = x->route->priority == PRIORITY_HIGH  ? QUEUE_HIGH
               : x->route->priority == PRIORITY_LOW ? QUEUE_LOW
                                                    : QUEUE_NORMAL;
    d->named = x->wanted_backend;
    d->is_safe = method_is_idempotent(x->req.method);
    if (conf->balance == BALANCE_HASH)
        d->key = hash_of_request(x, conf);
    if (conf->sticky.n)
        d->stick = named_backend(x, conf);
}

void demand_mark_response(struct exchange *x)
{
    const struct attempt *at = &x->attempt;
    const struct pool_conf *conf = at->pool->conf;
    uint64_t stick = at->backend->stick;
    if (!conf->sticky.n || !stick || stick == at->demand.stick)
        return;
    char hex[NUM_HEX_MAX];
    struct slice id = slice_of(hex, num_put_hex(hex, stick));
    const struct rewrite *rewrite = x->route->rewrite;
    const struct mapping wanted = {.cookie_flags = rewrite ? rewrite->cookie_flags : SLICE_NONE};
    const struct mapping usual = {.cookie_flags = SLICE("; SameSite=Lax")};
    struct slice value = arena_printf(&x->arena, SLICE_FMT "=" SLICE_FMT "; Path=/; HttpOnly",
                                      SLICE_ARG(conf->sticky), SLICE_ARG(id));
    value = map_back_cookie(&wanted, value, &x->arena);
    value = map_back_cookie(&usual, value, &x->arena);
    fields_add(&x->resp.fields, &x->arena, FIELD_SET_COOKIE, SLICE("Set-Cookie"), value);
}
