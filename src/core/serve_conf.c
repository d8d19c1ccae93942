/* SPDX-License-Identifier: MIT */
#include "core/serve_conf.h"

#include "core/gateway_conf.h"
#include "pool/pool_conf.h"

/* Values that no key takes: nothing was said. */
#define UNSAID    UINT32_MAX
#define UNSAID_64 UINT64_MAX

/* clang-format off */
const struct key serve_limit_options[] = {
    {.name = "body", .type = KEY_SIZE, .at = at(struct serve_conf, body_bytes),
     .zero = "unlimited", .help = "bytes of a request's body (413), in place of the gateway's limit"},
    {.name = "rate", .type = KEY_SIZE, .at = at(struct serve_conf, rate_bytes),
     .zero = "unlimited", .help = "bytes of each response sent in a second"},
    {.name = NULL},
};

const struct key serve_timeout_options[] = {
    {.name = "request", .type = KEY_MS, .at = at(struct serve_conf, request_ms),
     .zero = "off", .max = "1d",
     .help = "for all attempts and waiting together, until the response head (504)"},
    {.name = "queue", .type = KEY_MS, .at = at(struct serve_conf, queue_ms),
     .min = "1ms", .max = "1h", .help = "how long a request waits for a connection (503)"},
    {.name = "response", .type = KEY_MS, .at = at(struct serve_conf, response_ms),
     .min = "1ms", .max = "1d", .help = "from the end of the request to the response head (504)"},
    {.name = "idle", .type = KEY_MS, .at = at(struct serve_conf, idle_ms),
     .min = "1ms", .max = "1d",
     .help = "without a byte moving, in the middle of a response or of a request's body"},
    {.name = "body", .type = KEY_MS, .at = at(struct serve_conf, body_ms),
     .min = "1ms", .max = "1d", .help = "between two pieces of a request's body (408)"},
    {.name = "write", .type = KEY_MS, .at = at(struct serve_conf, write_ms),
     .min = "1ms", .max = "1d", .help = "for a client that takes no byte of a response"},
    {.name = "tunnel", .type = KEY_MS, .at = at(struct serve_conf, tunnel_ms),
     .min = "1ms", .max = "30d",
     .help = "for an upgraded connection (WebSocket) in which nothing moves"},
    {.name = NULL},
};

const struct key serve_buffer_options[] = {
    {.name = "memory", .type = KEY_SIZE, .at = at(struct serve_conf, buffer_memory),
     .max = "1g", .help = "bytes of a body held in memory; what comes behind waits in a temporary "
     "file"},
    {.name = "file", .type = KEY_SIZE, .at = at(struct serve_conf, buffer_file),
     .max = "1024g", .help = "bytes of a body held at all"},
    {.name = NULL},
};
/* clang-format on */

bool serve_set_buffer(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct serve_conf *conf = target;
    conf->buffer_set = true;
    for (uint32_t i = 0; i < d->arg_count; i++) {
        if (slice_eq(word[i].text, SLICE("request")))
            conf->buffer_request = true;
        else if (slice_eq(word[i].text, SLICE("response")))
            conf->buffer_response = true;
        else if (!slice_eq(word[i].text, SLICE("off")) || d->arg_count > 1)
            return config_error(r->diag, word[i].at,
                                "'buffer' takes request, response or both, or off");
    }
    return d->arg_count ||
           config_error(r->diag, d->name.at, "'buffer' takes request, response or both, or off");
}

void serve_conf_init(struct serve_conf *conf)
{
    *conf = (struct serve_conf){
        .body_bytes = UNSAID_64,
        .rate_bytes = UNSAID_64,
        .buffer_memory = UNSAID_64,
        .buffer_file = UNSAID_64,
        .request_ms = UNSAID,
        .response_ms = UNSAID,
        .idle_ms = UNSAID,
        .queue_ms = UNSAID,
        .body_ms = UNSAID,
        .write_ms = UNSAID,
        .tunnel_ms = UNSAID,
    };
}

static void inherit(uint32_t *own, uint32_t outer)
{
    if (*own == UNSAID)
        *own = outer;
}

static void inherit_64(uint64_t *own, uint64_t outer)
{
    if (*own == UNSAID_64)
        *own = outer;
}

void serve_conf_inherit(struct serve_conf *conf, const struct serve_conf *outer)
{
    inherit_64(&conf->body_bytes, outer->body_bytes);
    inherit_64(&conf->rate_bytes, outer->rate_bytes);
    inherit_64(&conf->buffer_memory, outer->buffer_memory);
    inherit_64(&conf->buffer_file, outer->buffer_file);
    inherit(&conf->request_ms, outer->request_ms);
    inherit(&conf->response_ms, outer->response_ms);
    inherit(&conf->idle_ms, outer->idle_ms);
    inherit(&conf->queue_ms, outer->queue_ms);
    inherit(&conf->body_ms, outer->body_ms);
    inherit(&conf->write_ms, outer->write_ms);
    inherit(&conf->tunnel_ms, outer->tunnel_ms);
    if (conf->buffer_set || !outer->buffer_set)
        return;
    conf->buffer_set = true;
    conf->buffer_request = outer->buffer_request;
    conf->buffer_response = outer->buffer_response;
}

static void take_from_pool(struct serve_conf *all, const struct pool_conf *pool)
{
    all->buffer_set = true;
    all->buffer_request = pool->buffer_request;
    all->buffer_response = pool->buffer_response;
    all->buffer_memory = pool->buffer_memory;
    all->buffer_file = pool->buffer_file;
    all->request_ms = pool->request_ms;
    all->response_ms = pool->response_ms;
    all->idle_ms = pool->idle_ms;
    all->queue_ms = pool->queue_ms;
}

void serve_conf_finish(struct serve_conf *conf, const struct gateway_conf *gateway,
                       const struct pool_conf *pool)
{
    struct serve_conf all = {.body_bytes = gateway->body_bytes,
                             .body_ms = gateway->body_ms,
                             .write_ms = gateway->write_ms,
                             .tunnel_ms = gateway->tunnel_ms};
    if (pool)
        take_from_pool(&all, pool);
    serve_conf_inherit(conf, &all);
}
