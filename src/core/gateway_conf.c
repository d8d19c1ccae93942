/* SPDX-License-Identifier: MIT */
#include "core/gateway_conf.h"

#include "net/addr.h"

static key_set_fn set_access_log, set_error_log, set_trusted, set_admin, set_nameservers;
static key_open_fn open_admin;
static key_close_fn close_admin;

static const struct key_name access_formats[] = {
    {"combined", ACCESS_COMBINED, "the format of Apache and nginx, followed by key=value pairs"},
    {"json", ACCESS_JSON, "one JSON object for each line"},
    {NULL, 0, NULL},
};

static const struct key_name error_levels[] = {
    {"error", LEVEL_ERROR, "what has gone wrong"},
    {"warn", LEVEL_WARN, "also what looks wrong"},
    {"info", LEVEL_INFO, "also what happens"},
    {"debug", LEVEL_DEBUG, "everything"},
    {NULL, 0, NULL},
};

/* clang-format off */
static const struct key access_options[] = {
    {.name = "format", .type = KEY_ENUM, .at = at(struct gateway_conf, access_format),
     .init = "combined", .names = access_formats, .help = "what a line looks like"},
    {.name = NULL},
};

static const struct key error_options[] = {
    {.name = "level", .type = KEY_ENUM, .at = at(struct gateway_conf, error_level),
     .init = "info", .names = error_levels, .help = "how much is logged"},
    {.name = NULL},
};

static const struct key admin_options[] = {
    {.name = "token", .type = KEY_STRING, .at = at(struct admin_conf, token), .syntax = "TEXT",
     .help = "what has to be brought as Authorization: Bearer TEXT; a TCP address needs one"},
    {.name = NULL},
};

static const struct key open_files_options[] = {
    {.name = "valid", .type = KEY_MS, .at = at(struct gateway_conf, open_files.valid_ms),
     .init = "1s", .min = "1ms", .max = "1h",
     .help = "how long; as long may a change of a file or of its name go unseen"},
    {.name = "memory", .type = KEY_SIZE, .at = at(struct gateway_conf, open_files.memory_bytes),
     .init = "4m", .max = "1g", .help = "bytes of small ones (up to 16k) kept in memory"},
    {.name = NULL},
};

static const struct key resolver_options[] = {
    {.name = "timeout", .type = KEY_MS, .at = at(struct gateway_conf, resolve_ms),
     .init = "5s", .min = "1ms", .max = "1m", .help = "for an answer"},
    {.name = NULL},
};

static const struct key limit_options[] = {
    {.name = "head", .type = KEY_SIZE, .at = at(struct gateway_conf, head_bytes),
     .init = "32k", .min = "1k", .max = "64k",
     .help = "bytes of a request's or response's head (431, 502)"},
    {.name = "target", .type = KEY_SIZE, .at = at(struct gateway_conf, target_bytes),
     .init = "8k", .min = "64", .max = "64k", .help = "bytes of a request's target (414)"},
    {.name = "fields", .type = KEY_UINT, .at = at(struct gateway_conf, fields),
     .init = "100", .min = "1", .max = "1000", .help = "fields in a head (431, 502)"},
    {.name = "body", .type = KEY_SIZE, .at = at(struct gateway_conf, body_bytes),
     .init = "0", .zero = "unlimited", .help = "bytes of a request's body (413)"},
    {.name = "conns", .type = KEY_UINT, .at = at(struct gateway_conf, conns),
     .init = "0", .zero = "auto", .max = "10000000",
     .help = "client connections at a time; auto: what the descriptor limit allows"},
    {.name = "requests", .type = KEY_UINT, .at = at(struct gateway_conf, conn_requests),
     .init = "0", .zero = "unlimited", .help = "requests on one client connection"},
    {.name = "reroutes", .type = KEY_UINT, .at = at(struct gateway_conf, reroutes),
     .init = "10", .max = "100",
     .help = "internal redirects of one request (X-Accel-Redirect, files else ...); then 500"},
    {.name = "window", .type = KEY_SIZE, .at = at(struct gateway_conf, window),
     .init = "64k", .min = "4k", .max = "16m",
     .help = "bytes of a body held at a time, in each direction of each request"},
    {.name = "compress", .type = KEY_SIZE, .at = at(struct gateway_conf, compress_bytes),
     .init = "64m", .help = "memory for encoders, in each thread; responses that find none left are "
     "sent as they are"},
    {.name = "h2-streams", .type = KEY_UINT, .at = at(struct gateway_conf, h2_streams),
     .init = "128", .min = "1", .max = "10000",
     .help = "requests at a time on one HTTP/2 client connection"},
#define ABUSE(id, key, init_, max_, what, help_)                                                   \
    {.name = key, .type = KEY_UINT, .at = at(struct gateway_conf, h2_abuse[H2_ABUSE_##id]),        \
     .init = init_, .max = max_, .help = help_},
#include "codec/h2_abuse.def"
#undef ABUSE
    {.name = NULL},
};

static const struct key timeout_options[] = {
    {.name = "head", .type = KEY_MS, .at = at(struct gateway_conf, head_ms),
     .init = "10s", .min = "1ms", .max = "1h",
     .help = "for a request's head, from its first byte to its last (408)"},
    {.name = "body", .type = KEY_MS, .at = at(struct gateway_conf, body_ms),
     .init = "30s", .min = "1ms", .max = "1d", .help = "between two pieces of a request's body (408)"},
    {.name = "idle", .type = KEY_MS, .at = at(struct gateway_conf, idle_ms),
     .init = "75s", .min = "1ms", .max = "1d", .help = "between two requests on a connection"},
    {.name = "write", .type = KEY_MS, .at = at(struct gateway_conf, write_ms),
     .init = "30s", .min = "1ms", .max = "1d", .help = "for a client that takes no byte of a response"},
    {.name = "half-closed", .type = KEY_MS, .at = at(struct gateway_conf, half_closed_ms),
     .init = "1s", .min = "1ms", .max = "1d",
     .help = "how long a client that has closed its side is served while nothing moves; it may be "
             "gone altogether"},
    {.name = "linger", .type = KEY_MS, .at = at(struct gateway_conf, linger_ms),
     .init = "2s", .min = "1ms", .max = "1h",
     .help = "for a client to close its side after the last response, and over HTTP/2 to end a "
             "request that is answered already; what it sends meanwhile is read away"},
    {.name = "tunnel", .type = KEY_MS, .at = at(struct gateway_conf, tunnel_ms),
     .init = "1h", .min = "1ms", .max = "30d",
     .help = "for an upgraded connection (WebSocket) in which nothing moves"},
    {.name = NULL},
};

static const struct key_name client_froms[] = {
    {"x-forwarded-for", CLIENT_FROM_X_FORWARDED_FOR, "a list of addresses"},
    {"forwarded", CLIENT_FROM_FORWARDED, "for= of Forwarded (RFC 7239)"},
    {NULL, 0, NULL},
};

const struct key gateway_keys[] = {
    {.name = "threads", .type = KEY_UINT, .at = at(struct gateway_conf, threads),
     .init = "auto", .zero = "auto", .max = "1024",
     .help = "worker threads; auto: one for each core"},
    {.name = "user", .type = KEY_STRING, .at = at(struct gateway_conf, user),
     .place = at(struct gateway_conf, user_at), .syntax = "NAME",
     .help = "who to run as once the listeners are open; needs a start as root"},
    {.name = "group", .type = KEY_STRING, .at = at(struct gateway_conf, group),
     .place = at(struct gateway_conf, group_at), .syntax = "NAME",
     .help = "the group to run as; without it the user's own"},
    {.name = "name", .type = KEY_STRING, .at = at(struct gateway_conf, name), .init = "sluice",
     .syntax = "NAME",
     .help = "what the gateway calls itself in Via, and in Server of its own answers"},
    {.name = "request-id", .type = KEY_BOOL, .at = at(struct gateway_conf, request_id),
     .init = "on", .help = "give requests that bring none an X-Request-Id"},
    {.name = "access-log", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_access_log, .init = "stdout",
     .syntax = "PATH | stdout | stderr | off", .options = access_options,
     .help = "where a line for each request goes"},
    {.name = "error-log", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_error_log, .init = "stderr",
     .syntax = "PATH | stdout | stderr | off", .options = error_options,
     .help = "where messages of the gateway go"},
    {.name = "admin", .type = KEY_CUSTOM, .flags = KEY_ONE | KEY_REPEAT, .set = set_admin,
     .open = open_admin, .close = close_admin, .options = admin_options,
     .syntax = "unix:PATH | ADDRESS",
     .help = "where `sluice status` and its like, and Prometheus, get at the gateway; a unix socket "
             "is for its owner alone"},
    {.name = "state", .type = KEY_STRING, .at = at(struct gateway_conf, state_path),
     .place = at(struct gateway_conf, state_at), .syntax = "FILE",
     .help = "where it is kept what `sluice pool` has changed, for the next start; its folder must be "
             "writable for the user to run as"},
    {.name = "stop-timeout", .type = KEY_MS, .at = at(struct gateway_conf, stop_ms),
     .init = "30s", .max = "1d",
     .help = "how long a graceful stop waits for requests in flight"},
    {.name = "upgrade-timeout", .type = KEY_MS, .at = at(struct gateway_conf, upgrade_ms),
     .init = "30s", .min = "1ms", .max = "1h",
     .help = "how long the program that `sluice upgrade` starts may take until it serves; then it is "
             "given up"},
    {.name = "certificate-check", .type = KEY_MS, .at = at(struct gateway_conf, certificate_ms),
     .init = "10s", .min = "1ms", .max = "1d", .zero = "off",
     .help = "how often the files of certificates and keys are looked at; when one has changed, new "
             "connections use it"},
    {.name = "temp-dir", .type = KEY_STRING, .at = at(struct gateway_conf, temp_dir),
     .place = at(struct gateway_conf, temp_at), .init = "/var/tmp", .syntax = "DIR",
     .help = "where bodies too large for memory wait (see buffer); the files have no names"},
    {.name = "resolver", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_nameservers,
     .syntax = "ADDRESS[:PORT][,ADDRESS[:PORT]...]", .options = resolver_options,
     .help = "name servers that are asked for the backends' names; without it the system's"},
    {.name = "trusted-proxies", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_trusted,
     .syntax = "CIDR ... | unix",
     .help = "clients whose Forwarded and X-Forwarded-* fields count"},
    {.name = "client-from", .type = KEY_ENUM, .at = at(struct gateway_conf, client_from),
     .init = "x-forwarded-for", .names = client_froms,
     .help = "in which field a trusted proxy says who its client is"},
    {.name = "open-files", .type = KEY_UINT, .at = at(struct gateway_conf, open_files.files),
     .init = "256", .zero = "off", .max = "65536", .options = open_files_options,
     .help = "files that each thread keeps open to serve them again"},
    {.name = "limit", .type = KEY_NONE, .options = limit_options,
     .help = "how much a client may send"},
    {.name = "timeout", .type = KEY_NONE, .options = timeout_options,
     .help = "how long to wait for a client"},
    {.name = NULL},
};
/* clang-format on */

static bool set_log(struct config_reader *r, const struct config_word *word, struct slice *path)
{
    if (word->text.n == 0)
        return config_error(r->diag, word->at, "the path is empty");
    *path = word->text;
    if (slice_eq(word->text, SLICE("off")))
        *path = SLICE_NONE;
    if (slice_eq(word->text, SLICE("-")))
        *path = SLICE("stdout");
    return true;
}

static bool set_access_log(struct config_reader *r, const struct directive *d,
                           const struct config_word *word, void *target)
{
    struct gateway_conf *g = target;
    (void)d;
    g->access_at = word->at;
    return set_log(r, word, &g->access_path);
}

static bool set_error_log(struct config_reader *r, const struct directive *d,
                          const struct config_word *word, void *target)
{
    struct gateway_conf *g = target;
    (void)d;
    g->error_at = word->at;
    return set_log(r, word, &g->error_path);
}

/* "::1", "[::1]:53", "127.0.0.1", "127.0.0.1:53": who is to say what names mean has none. */
static bool is_nameserver(struct slice text)
{
    struct net_addr a;
    struct endpoint e;
    return net_addr_literal(text, 0, &a) ||
           (!endpoint_parse(text, &e) && !e.path.n && net_addr_literal(e.host, e.port, &a));
}

static bool set_nameservers(struct config_reader *r, const struct directive *d,
                            const struct config_word *word, void *target)
{
    struct gateway_conf *g = target;
    struct slice rest = word->text;
    (void)d;
    g->nameservers = word->text;
    for (bool is_last = false; !is_last;) {
        size_t n = slice_find(rest, ',');
        struct slice one = slice_first(rest, n);
        is_last = n == rest.n;
        if (!is_nameserver(one))
            return config_error(r->diag, word->at,
                                "'" SLICE_FMT "' is no address of a name server\n"
                                "write IP addresses: 127.0.0.1:53,[::1]:53",
                                SLICE_ARG(one));
        rest = slice_skip(rest, n + !is_last);
    }
    return true;
}

static void *open_admin(struct config_reader *r, const struct directive *d, void *target)
{
    struct gateway_conf *g = target;
    struct admin_conf *a = config_append(r, &g->admin, &g->admin_count, sizeof(*a));
    a->at = d->name.at;
    return a;
}

static bool set_admin(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct admin_conf *a = target;
    (void)d;
    a->at = word->at;
    a->text = word->text;
    const char *why = address_parse_listen(word->text, &a->address);
    if (why)
        return config_error(r->diag, word->at, "cannot listen on '" SLICE_FMT "': %s",
                            SLICE_ARG(word->text), why);
    return true;
}

/* Any page in a browser on this machine can send requests to a TCP port. */
static bool close_admin(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct admin_conf *a = opened;
    (void)d;
    if (a->text.n && a->address.kind == ADDRESS_INET && !a->token.n)
        return config_error(r->diag, a->at,
                            "an admin address that is no unix socket needs a token: "
                            "token=SECRET");
    return true;
}

static bool set_trusted(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    struct gateway_conf *g = target;
    bool ok = d->arg_count ? true
                           : config_error(r->diag, d->name.at,
                                          "'trusted-proxies' takes networks such as 10.0.0.0/8");
    for (uint32_t i = 0; i < d->arg_count; i++) {
        struct cidr net;
        const char *why = cidr_parse(word[i].text, &net);
        if (why) {
            ok = config_error(r->diag, word[i].at, "%s", why);
            continue;
        }
        struct cidr *kept = config_append(r, &g->trusted, &g->trusted_count, sizeof(*kept));
        *kept = net;
    }
    return ok;
}
