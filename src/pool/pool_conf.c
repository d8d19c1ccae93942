/* SPDX-License-Identifier: MIT */
#include "pool/pool_conf.h"

#include "proc/spawn_conf.h"

static key_set_fn set_backend, set_buffer, set_host, set_protocol;
static key_open_fn open_backend, open_run, open_spawn;

static const struct key_name balances[] = {
    {"round-robin", BALANCE_ROUND_ROBIN, "in turn, as often as their weights say"},
    {NULL, 0, NULL},
};

/* clang-format off */
static const struct key backend_options[] = {
    {.name = "weight", .type = KEY_UINT, .at = at(struct backend_conf, weight),
     .init = "1", .min = "1", .max = "1000",
     .help = "share of the requests, relative to the other backends"},
    {.name = "max-conns", .type = KEY_UINT, .at = at(struct backend_conf, max_conns),
     .init = "0", .zero = "unlimited", .max = "1000000",
     .help = "connections to each address at a time, over all threads"},
    {.name = NULL},
};

static const struct key buffer_options[] = {
    {.name = "memory", .type = KEY_SIZE, .at = at(struct pool_conf, buffer_memory),
     .init = "128k", .max = "1g",
     .help = "bytes of a body held in memory; what comes behind waits in a temporary file"},
    {.name = "file", .type = KEY_SIZE, .at = at(struct pool_conf, buffer_file),
     .init = "1g", .max = "1024g",
     .help = "bytes of a body held at all; then a response waits for its reader, and a request is "
             "passed on as it comes, or refused (413) where the protocol needs its length"},
    {.name = NULL},
};

static const struct key queue_options[] = {
    {.name = "length", .type = KEY_UINT, .at = at(struct pool_conf, queue_length),
     .init = "1000", .max = "10000000",
     .help = "requests that may wait for a connection when all that max-conns allows are busy; "
             "further ones are refused at once (503)"},
    {.name = "timeout", .type = KEY_MS, .at = at(struct pool_conf, queue_ms),
     .init = "10s", .min = "1ms", .max = "1h", .help = "how long a request waits (503)"},
    {.name = NULL},
};

static const struct key keep_options[] = {
    {.name = "idle", .type = KEY_UINT, .at = at(struct pool_conf, keep_idle),
     .init = "32", .zero = "off", .max = "100000",
     .help = "idle connections kept to each backend by each thread"},
    {.name = "timeout", .type = KEY_MS, .at = at(struct pool_conf, keep_ms),
     .init = "auto", .zero = "auto", .max = "1d",
     .help = "how long an idle connection is kept; should be less than the backend's own limit; "
             "auto: 60s, but 2s where a connection occupies a process (fastcgi)"},
    {.name = "requests", .type = KEY_UINT, .at = at(struct pool_conf, keep_requests),
     .init = "0", .zero = "unlimited",
     .help = "requests sent on one connection before it is closed"},
    {.name = NULL},
};

static const struct key timeout_options[] = {
    {.name = "connect", .type = KEY_MS, .at = at(struct pool_conf, connect_ms),
     .init = "3s", .min = "1ms", .max = "1h",
     .help = "until a connection stands; then the next address is tried (504 after the last)"},
    {.name = "response", .type = KEY_MS, .at = at(struct pool_conf, response_ms),
     .init = "60s", .min = "1ms", .max = "1d",
     .help = "from the end of the request to the response head (504)"},
    {.name = "idle", .type = KEY_MS, .at = at(struct pool_conf, idle_ms),
     .init = "60s", .min = "1ms", .max = "1d",
     .help = "without a byte moving, in the middle of a response or of a request's body"},
    {.name = NULL},
};

static const struct key retry_options[] = {
    {.name = "attempts", .type = KEY_UINT, .at = at(struct pool_conf, attempts),
     .init = "3", .min = "1", .max = "8",
     .help = "connections tried for a request, the first included. Only what cannot reach an "
             "application twice is tried again"},
    {.name = NULL},
};

const struct key pool_keys[] = {
    {.name = "protocol", .type = KEY_CUSTOM, .at = at(struct pool_conf, protocol), .init = "http",
     .flags = KEY_ONE, .set = set_protocol, .syntax = "NAME",
     .help = "what the backends speak; without it what their URLs say, else http"},
    {.name = "backend", .type = KEY_CUSTOM, .flags = KEY_REPEAT | KEY_ONE,
     .syntax = "HOST:PORT | unix:PATH | URL | cgi://PATH", .set = set_backend, .open = open_backend,
     .options = backend_options,
     .help = "where requests go: a host name stands for all its addresses; a URL such as "
             "http://127.0.0.1:9000 is the same as its address"},
    {.name = "spawn", .type = KEY_CUSTOM, .set = spawn_conf_set, .open = open_spawn,
     .block = spawn_keys, .close = spawn_conf_close, .syntax = "COMMAND [ARGUMENT...]",
     .help = "runs the application itself: starts as many processes as requests need, watches and "
             "renews them; they are the pool's backends"},
    {.name = "run", .type = KEY_NONE, .open = open_run, .block = spawn_keys,
     .help = "how CGI programs are run: user, group, env, umask, limit, cgroup of `spawn`"},
    {.name = "balance", .type = KEY_ENUM, .at = at(struct pool_conf, balance),
     .init = "round-robin", .names = balances,
     .help = "how a backend is picked"},
    {.name = "max-conns", .type = KEY_UINT, .at = at(struct pool_conf, max_conns),
     .init = "0", .zero = "unlimited", .max = "10000000",
     .help = "connections to all backends together at a time, over all threads"},
    {.name = "queue", .type = KEY_NONE, .options = queue_options,
     .help = "where requests wait while max-conns connections are busy"},
    {.name = "buffer", .type = KEY_CUSTOM, .set = set_buffer, .syntax = "request | response | off ...",
     .options = buffer_options,
     .help = "which bodies are held for slow clients, so that no backend waits for them; without it "
             "both for protocols whose backends serve one request at a time, none for http"},
    {.name = "keep-alive", .type = KEY_NONE, .options = keep_options,
     .help = "connections to backends kept for the next request"},
    {.name = "timeout", .type = KEY_NONE, .options = timeout_options,
     .help = "how long to wait for a backend"},
    {.name = "retry", .type = KEY_NONE, .options = retry_options,
     .help = "when an attempt fails before a response"},
    {.name = "host", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_host, .init = "keep",
     .syntax = "keep | backend | NAME",
     .help = "the Host field that backends see: the client's, the backend's own address, or a "
             "fixed name"},
    {.name = NULL},
};
/* clang-format on */

/* Which protocols there are is known to the core, which looks the name up. */
static bool set_protocol(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    (void)r;
    (void)d;
    struct pool_conf *pool = target;
    pool->protocol = word->text;
    pool->protocol_at = word->text_at;
    return true;
}

static bool set_buffer(struct config_reader *r, const struct directive *d,
                       const struct config_word *word, void *target)
{
    struct pool_conf *pool = target;
    pool->buffer_set = d != NULL;
    for (uint32_t i = 0; d && i < d->arg_count; i++) {
        if (slice_eq(word[i].text, SLICE("request")))
            pool->buffer_request = true;
        else if (slice_eq(word[i].text, SLICE("response")))
            pool->buffer_response = true;
        else if (!slice_eq(word[i].text, SLICE("off")) || d->arg_count > 1)
            return config_error(r->diag, word[i].at,
                                "'buffer' takes request, response or both, or off");
    }
    return true;
}

static bool set_host(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    pool->host = SLICE_NONE;
    pool->host_mode = HOST_KEEP;
    if (slice_eq(word->text, SLICE("backend")))
        pool->host_mode = HOST_BACKEND;
    if (pool->host_mode == HOST_BACKEND || slice_eq(word->text, SLICE("keep")))
        return true;
    struct endpoint scratch;
    const char *why = endpoint_parse(word->text, &scratch);
    if (why || scratch.path.n)
        return config_error(r->diag, word->at, "'" SLICE_FMT "' cannot be a Host: %s",
                            SLICE_ARG(word->text), why ? why : "it is a path");
    pool->host_mode = HOST_FIXED;
    pool->host = word->text;
    return true;
}

static void *open_backend(struct config_reader *r, const struct directive *d, void *target)
{
    struct pool_conf *pool = target;
    (void)d;
    return config_append(r, &pool->backends, &pool->backend_count, sizeof(*pool->backends));
}

static void *open_spawn(struct config_reader *r, const struct directive *d, void *target)
{
    struct pool_conf *pool = target;
    if (pool->spawn)
        config_error(r->diag, d->name.at, "a pool runs one application\nmake a pool for each");
    pool->spawn = arena_zalloc(r->arena, sizeof(*pool->spawn));
    return pool->spawn;
}

static void *open_run(struct config_reader *r, const struct directive *d, void *target)
{
    struct pool_conf *pool = target;
    (void)d;
    pool->run = arena_zalloc(r->arena, sizeof(*pool->run));
    return pool->run;
}

/* Takes "scheme://" off *text, and an empty path behind the address. */
static bool split_url(struct slice *text, struct slice *scheme)
{
    size_t colon = slice_find(*text, ':');
    struct slice rest = slice_skip(*text, colon);
    *scheme = SLICE_NONE;
    if (!slice_starts(rest, SLICE("://")))
        return false;
    *scheme = slice_first(*text, colon);
    *text = slice_skip(rest, 3);
    if (!slice_starts(*text, SLICE("unix:")) && slice_ends(*text, SLICE("/")))
        text->n--;
    return true;
}

static bool set_backend(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    (void)d;
    struct backend_conf *b = target;
    b->at = word->at;
    struct slice address = word->text;
    bool is_url = split_url(&address, &b->scheme);
    if (slice_eq(b->scheme, SLICE("cgi"))) {
        b->program = address;
        return address.n && address.p[0] == '/'
                   ? true
                   : config_error(r->diag, word->at,
                                  "a CGI backend is an absolute path: cgi:///usr/lib/cgi-bin");
    }
    bool has_path = !slice_starts(address, SLICE("unix:")) && slice_find(address, '/') < address.n;
    if (is_url && has_path)
        return config_error(r->diag, word->at,
                            "a backend has no path\nthe path of the request reaches it unchanged");
    const char *why = endpoint_parse(address, &b->endpoint);
    return why ? config_error(r->diag, word->at, "'" SLICE_FMT "' is no backend: %s",
                              SLICE_ARG(word->text), why)
               : true;
}

static struct slice endpoint_text(struct arena *a, const struct endpoint *e)
{
    if (e->path.n)
        return arena_printf(a, "unix:" SLICE_FMT, SLICE_ARG(e->path));
    bool is_v6 = slice_find(e->host, ':') < e->host.n;
    return arena_printf(a, "%s" SLICE_FMT "%s:%u", is_v6 ? "[" : "", SLICE_ARG(e->host),
                        is_v6 ? "]" : "", e->port);
}

static bool finish_backend(struct config_reader *r, const struct pool_conf *pool,
                           struct backend_conf *b, uint16_t default_port)
{
    if (b->scheme.n && !slice_eq(b->scheme, pool->protocol))
        return config_error(r->diag, b->at,
                            "the pool speaks '" SLICE_FMT "', not '" SLICE_FMT "'\n"
                            "all backends of a pool speak the same protocol",
                            SLICE_ARG(pool->protocol), SLICE_ARG(b->scheme));
    if (b->program.n) {
        b->text = arena_printf(r->arena, "cgi:" SLICE_FMT, SLICE_ARG(b->program));
        return true;
    }
    if (!b->endpoint.path.n && !b->endpoint.port)
        b->endpoint.port = default_port;
    if (!b->endpoint.path.n && !b->endpoint.port)
        return config_error(r->diag, b->at, "the port is missing");
    b->text = endpoint_text(r->arena, &b->endpoint);
    return true;
}

void pool_conf_guess_protocol(struct pool_conf *pool)
{
    for (uint32_t i = 0; i < pool->backend_count && !pool->protocol_at.line; i++)
        if (pool->backends[i].scheme.n) {
            pool->protocol = pool->backends[i].scheme;
            pool->protocol_at = pool->backends[i].at;
        }
}

bool pool_conf_finish(struct config_reader *r, struct pool_conf *pool, uint16_t default_port)
{
    bool ok = true;
    if (!pool->backend_count && !pool->spawn)
        ok = config_error(r->diag, pool->at, "pool '" SLICE_FMT "' has no backend", SLICE_ARG(pool->name));
    if (pool->backend_count && pool->spawn)
        ok = config_error(r->diag, pool->at,
                          "pool '" SLICE_FMT "' has backends and runs an application\nits processes are "
                          "its backends: make another pool for the others",
                          SLICE_ARG(pool->name));
    for (uint32_t i = 0; i < pool->backend_count; i++)
        ok = finish_backend(r, pool, &pool->backends[i], default_port) && ok;
    return ok;
}
