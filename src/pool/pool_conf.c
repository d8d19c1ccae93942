/* SPDX-License-Identifier: MIT */
#include "pool/pool_conf.h"

#include "base/num.h"
#include "config/suggest.h"
#include "proc/spawn_conf.h"

static key_set_fn set_hedge_budget, set_adaptive, set_balance, set_budget, set_buffer,
    set_eject_errors, set_eject_share, set_hash, set_host, set_protocol, set_retry_on;
static key_open_fn open_backend, open_handoff, open_run, open_spawn;
static key_close_fn close_balance;

const struct key_name pool_balances[] = {
    {"round-robin", BALANCE_ROUND_ROBIN, "in turn, as often as their weights say"},
    {"least-conn", BALANCE_LEAST_CONN, "the one with the fewest requests for its weight"},
    {"random-two", BALANCE_RANDOM_TWO, "the freer of two drawn by weight"},
    {"ewma", BALANCE_EWMA, "the one that will probably answer first, by its latency lately"},
    {"first", BALANCE_FIRST, "the first that has room below its max-conns"},
    {NULL, 0, NULL},
};

const struct key_name pool_hash_kinds[] = {
    {"client", HASH_CLIENT, "the client's address"},
    {"host", HASH_HOST, "the host asked for"},
    {"path", HASH_PATH, "the path"},
    {"uri", HASH_URI, "path and query"},
    {"header", HASH_HEADER, "a field: header:NAME"},
    {"cookie", HASH_COOKIE, "a cookie: cookie:NAME"},
    {NULL, 0, NULL},
};

const struct key_name pool_retries[] = {
    {"connect", RETRY_CONNECT, "no connection, or not in time"},
    {"broken", RETRY_BROKEN, "the connection ended before a response"},
    {"timeout", RETRY_TIMEOUT, "no response in time"},
    {"protocol", RETRY_PROTOCOL, "a response that is none"},
    {NULL, 0, NULL},
};

static const struct key_name all_downs[] = {
    {"try", ALL_DOWN_TRY, "ask them all the same"},
    {"refuse", ALL_DOWN_REFUSE, "answer 503 at once"},
    {NULL, 0, NULL},
};

/* clang-format off */
static const struct key balance_options[] = {
    {.name = "hash", .type = KEY_CUSTOM, .set = set_hash,
     .syntax = "client | host | path | uri | header:NAME | cookie:NAME",
     .help = "the same backend for the same part of the request, by rendezvous hashing: a backend "
             "that leaves takes only its own keys along; none gets more than 1.25 times its share"},
    {.name = "sticky", .type = KEY_STRING, .at = at(struct pool_conf, sticky),
     .help = "a cookie of this name, set by us, brings a client back to its backend as long as that "
             "is up; new clients are spread as the first word says"},
    {.name = "secret", .type = KEY_STRING, .at = at(struct pool_conf, sticky_secret),
     .help = "what the cookie is made with, so that nobody can tell or choose a backend; the same "
             "for gateways side by side"},
    {.name = NULL},
};

static const struct key fail_options[] = {
    {.name = "count", .type = KEY_UINT, .at = at(struct pool_conf, fail_count),
     .init = "3", .zero = "off", .max = "1000000",
     .help = "failures in a row (connections refused or broken, timeouts, responses that are none) "
             "that take a backend down"},
    {.name = "within", .type = KEY_MS, .at = at(struct pool_conf, fail_within_ms),
     .init = "10s", .min = "1ms", .max = "1d", .help = "of each other"},
    {.name = "backoff", .type = KEY_MS, .at = at(struct pool_conf, fail_backoff_ms),
     .init = "1s", .min = "1ms", .max = "1d",
     .help = "how long it is left alone; then one request is its trial, or a probe brings it back. "
             "Doubles each time it fails again soon"},
    {.name = "max", .type = KEY_MS, .at = at(struct pool_conf, fail_max_ms),
     .init = "60s", .min = "1ms", .max = "1d", .help = "the longest pause"},
    {.name = NULL},
};

static const struct key eject_options[] = {
    {.name = "errors", .type = KEY_CUSTOM, .set = set_eject_errors, .syntax = "PERCENT%",
     .help = "failures and answers with 5xx, of all, that take a backend down for a pause"},
    {.name = "latency", .type = KEY_MS, .at = at(struct pool_conf, eject_latency_ms),
     .min = "1ms", .max = "1h", .help = "a mean time to the response head that does the same"},
    {.name = "requests", .type = KEY_UINT, .at = at(struct pool_conf, eject_requests),
     .init = "20", .min = "1", .max = "1000000", .help = "answers it takes to judge"},
    {.name = "window", .type = KEY_MS, .at = at(struct pool_conf, eject_window_ms),
     .init = "10s", .min = "100ms", .max = "1h", .help = "over how long"},
    {.name = "share", .type = KEY_CUSTOM, .set = set_eject_share, .init = "50%",
     .syntax = "PERCENT%", .help = "of the backends that may be out at a time for this"},
    {.name = NULL},
};

static const struct key adaptive_options[] = {
    {.name = "latency", .type = KEY_CUSTOM, .set = set_adaptive, .syntax = "PERCENT%",
     .help = "how long an answer may take, in percent of what it takes with few requests: 110% to "
             "1000%; without it there is no such limit"},
    {.name = "min", .type = KEY_UINT, .at = at(struct pool_conf, adaptive_min),
     .init = "4", .min = "1", .max = "1000000", .help = "the lowest limit, and what few requests are"},
    {.name = "max", .type = KEY_UINT, .at = at(struct pool_conf, adaptive_max),
     .init = "1000", .min = "1", .max = "1000000", .help = "the highest"},
    {.name = "measure", .type = KEY_MS, .at = at(struct pool_conf, adaptive_measure_ms),
     .init = "30s", .min = "1s", .max = "1d",
     .help = "how often the limit goes down to min, to measure what an answer takes then"},
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
    {.name = "target", .type = KEY_MS, .at = at(struct pool_conf, queue_target_ms),
     .min = "1ms", .max = "1h",
     .help = "waiting for longer than this, for as long again, is overload: the newest are served "
             "first then, and those who have waited for longer are refused; half the timeout if it "
             "is not written"},
    {.name = NULL},
};

static const struct key_name proxy_versions[] = {
    {"off", 0, "no"},
    {"v1", 1, "as a line of text"},
    {"v2", 2, "as bytes"},
    {NULL, 0, NULL},
};

static const struct key keep_options[] = {
    {.name = "idle", .type = KEY_UINT, .at = at(struct pool_conf, keep_idle),
     .init = "256", .zero = "off", .max = "100000",
     .help = "idle connections kept to each backend by each thread"},
    {.name = "timeout", .type = KEY_MS, .at = at(struct pool_conf, keep_ms),
     .init = "auto", .zero = "auto", .max = "1d",
     .help = "how long an idle connection is kept; should be less than the backend's own limit; "
             "auto: 60s; where a connection occupies a process (fastcgi), 2s if max-conns says how "
             "many there are, else none is kept"},
    {.name = "requests", .type = KEY_UINT, .at = at(struct pool_conf, keep_requests),
     .init = "0", .zero = "unlimited",
     .help = "requests sent on one connection before it is closed"},
    {.name = "multiplex", .type = KEY_BOOL, .at = at(struct pool_conf, multiplex),
     .init = "off",
     .help = "whether a FastCGI application is asked if it can serve several requests on a connection "
             "at once (FCGI_MPXS_CONNS), and given them if it says so"},
    {.name = "age", .type = KEY_MS, .at = at(struct pool_conf, keep_age_ms),
     .init = "0", .zero = "unlimited", .max = "30d",
     .help = "how long after it was opened a connection is given new requests"},
    {.name = "streams", .type = KEY_UINT, .at = at(struct pool_conf, keep_streams),
     .init = "100", .min = "1", .max = "100000",
     .help = "requests at a time on one connection, where the protocol lets several share it (h2c); "
             "fewer if the backend says so"},
    {.name = "ping", .type = KEY_MS, .at = at(struct pool_conf, keep_ping_ms),
     .init = "15s", .zero = "off", .max = "1h",
     .help = "how long a shared connection with requests under way may be silent before the backend is "
             "asked for a sign of life, and how long that may take"},
    {.name = NULL},
};

static const struct key h2_options[] = {
    {.name = "head", .type = KEY_UINT, .at = at(struct pool_conf, h2_head_bytes),
     .init = "1048576", .min = "1024", .max = "16777216",
     .help = "bytes a field section of a backend may unpack to before the connection is given up"},
    {.name = "waiting", .type = KEY_UINT, .at = at(struct pool_conf, h2_waiting),
     .init = "1000", .min = "10", .max = "1000000",
     .help = "answers to PING and SETTINGS frames that wait for a backend that does not read them; with "
             "more the connection is given up"},
    {.name = NULL},
};

static const struct key timeout_options[] = {
    {.name = "request", .type = KEY_MS, .at = at(struct pool_conf, request_ms),
     .init = "0s", .zero = "off", .max = "1d",
     .help = "for all attempts and waiting together, until the response head (504)"},

    {.name = "connect", .type = KEY_MS, .at = at(struct pool_conf, connect_ms),
     .init = "3s", .min = "1ms", .max = "1h",
     .help = "until a connection stands; then the next address is tried (504 after the last)"},
    {.name = "race", .type = KEY_MS, .at = at(struct pool_conf, race_ms),
     .init = "250ms", .zero = "off", .max = "1h",
     .help = "while no connection stands, until another address of the same name is dialled as well; "
             "the first that stands is used (RFC 8305)"},
    {.name = "response", .type = KEY_MS, .at = at(struct pool_conf, response_ms),
     .init = "60s", .min = "1ms", .max = "1d",
     .help = "from the end of the request to the response head (504)"},
    {.name = "idle", .type = KEY_MS, .at = at(struct pool_conf, idle_ms),
     .init = "60s", .min = "1ms", .max = "1d",
     .help = "without a byte moving, in the middle of a response or of a request's body"},
    {.name = NULL},
};

static const struct key hedge_options[] = {
    {.name = "after", .type = KEY_MS, .at = at(struct pool_conf, hedge_ms),
     .init = "0", .zero = "off", .max = "1h",
     .help = "without a response, from when the connection stands; a value that few requests reach"},
    {.name = "budget", .type = KEY_CUSTOM, .set = set_hedge_budget, .init = "10%",
     .syntax = "PERCENT%", .help = "of the pool's requests that may be asked twice at most"},
    {.name = NULL},
};

static const struct key retry_options[] = {
    {.name = "on", .type = KEY_CUSTOM, .set = set_retry_on, .init = "connect,broken",
     .syntax = "connect | broken | timeout | protocol | STATUS | 5xx [,...]",
     .help = "what is tried again with another backend, as far as that is safe: nothing was sent, or "
             "the method is idempotent and the body can be sent again"},
    {.name = "budget", .type = KEY_CUSTOM, .set = set_budget, .init = "20%",
     .syntax = "PERCENT% | unlimited",
     .help = "retries for the pool's requests, so that they do not finish off backends in trouble; a "
             "hundred are there to begin with"},

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
    {.name = "backend", .type = KEY_CUSTOM, .flags = KEY_REPEAT,
     .syntax = "HOST:PORT | unix:PATH | URL | cgi://PATH [backup] | srv=NAME", .set = backend_conf_set, .open = open_backend,
     .options = backend_options,
     .help = "where requests go: a host name stands for all its addresses; a URL such as "
             "http://127.0.0.1:9000 is the same as its address; a backup is asked when all others are "
             "down"},
    {.name = "spawn", .type = KEY_CUSTOM, .set = spawn_conf_set, .open = open_spawn,
     .block = spawn_keys, .close = spawn_conf_close, .syntax = "COMMAND [ARGUMENT...]",
     .help = "runs the application itself: starts as many processes as requests need, watches and "
             "renews them; they are the pool's backends"},
    {.name = "run", .type = KEY_NONE, .open = open_run, .block = spawn_run_keys, .close = spawn_conf_close,
     .help = "how CGI programs are run"},
    {.name = "balance", .type = KEY_CUSTOM, .init = "round-robin", .names = pool_balances,
     .set = set_balance, .close = close_balance, .options = balance_options,
     .syntax = "round-robin | least-conn | random-two | ewma | first",
     .help = "how a backend is picked"},
    {.name = "slow-start", .type = KEY_MS, .at = at(struct pool_conf, slow_ms),
     .init = "0s", .zero = "off", .max = "1h",
     .help = "how long a backend that has come back or joined takes to reach its weight"},
    {.name = "fail", .type = KEY_NONE, .options = fail_options,
     .help = "when requests show that a backend is down"},
    {.name = "eject", .type = KEY_NONE, .options = eject_options,
     .help = "when requests show that a backend is worse than none"},
    {.name = "adaptive", .type = KEY_NONE, .options = adaptive_options,
     .help = "a limit for connections to each backend that is found from how fast it answers, below "
             "its max-conns"},
    {.name = "all-down", .type = KEY_ENUM, .at = at(struct pool_conf, all_down), .init = "try",
     .names = all_downs, .help = "what happens when every backend is down"},
    {.name = "health", .type = KEY_CUSTOM, .set = health_conf_set, .open = health_conf_open,
     .options = health_options, .syntax = "METHOD PATH | tcp | values | off",
     .help = "probes that find out whether backends work: a request in the pool's protocol, a "
             "connection, or FastCGI's question for values"},
    {.name = "max-conns", .type = KEY_UINT, .at = at(struct pool_conf, max_conns),
     .init = "0", .zero = "unlimited", .max = "10000000",
     .help = "connections to all backends together at a time, over all threads"},
    {.name = "queue", .type = KEY_NONE, .options = queue_options,
     .help = "where requests wait while max-conns connections are busy"},
    {.name = "buffer", .type = KEY_CUSTOM, .set = set_buffer, .syntax = "request | response | off ...",
     .options = buffer_options,
     .help = "which bodies are held for slow clients, so that no backend waits for them; without it "
             "both for protocols whose backends serve one request at a time, none for http"},
    {.name = "hand-over", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = handoff_conf_set,
     .open = open_handoff, .close = handoff_conf_close, .options = handoff_options,
     .syntax = "sendfile | accel | tempfile | rewrite ...",
     .help = "what an answer may ask for in its place: a file by X-Sendfile, X-LIGHTTPD-send-file or "
             "X-Sendfile2; another route by X-Accel-Redirect, and the other X-Accel- fields; a file "
             "that is then removed by X-LIGHTTPD-send-tempfile; the request again elsewhere by "
             "X-Rewrite-URI, -Host and -Backend. Without it these fields are dropped"},
    {.name = "keep-alive", .type = KEY_NONE, .options = keep_options,
     .help = "connections to backends kept for the next request"},
    {.name = "h2", .type = KEY_NONE, .options = h2_options,
     .help = "what a backend that is spoken to over HTTP/2 may do at most"},
    {.name = "timeout", .type = KEY_NONE, .options = timeout_options,
     .help = "how long to wait for a backend"},
    {.name = "retry", .type = KEY_NONE, .options = retry_options,
     .help = "when an attempt fails before a response"},
    {.name = "tls", .type = KEY_CUSTOM, .set = pool_tls_set, .block = pool_tls_keys, .syntax = "",
     .help = "speak to the backends by TLS, whatever the protocol; https does so by itself, and the "
             "block says how"},
    {.name = "hedge", .type = KEY_NONE, .options = hedge_options,
     .help = "another backend is asked as well when one takes long with a GET or the like, and the "
             "first to answer is listened to; not where requests share a connection"},
    {.name = "proxy-protocol", .type = KEY_ENUM, .at = at(struct pool_conf, proxy_version),
     .init = "off", .names = proxy_versions,
     .help = "whether each connection begins with a head of the PROXY protocol, which names the client; "
             "then no connection serves another request"},
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

/* The value of a name in a table; false: it is not there. */
static bool find_name(const struct key_name *names, struct slice name, int *value)
{
    for (const struct key_name *n = names; n->name; n++)
        if (slice_eq(slice_str(n->name), name)) {
            *value = n->value;
            return true;
        }
    return false;
}

static bool unknown_name(struct config_reader *r, const char *key, const struct key_name *names,
                         struct slice name, struct config_place place)
{
    struct slice known = SLICE("");
    struct suggest near = suggest_for(name);
    for (const struct key_name *n = names; n->name; n++) {
        suggest_try(&near, n->name);
        known = arena_printf(r->arena, SLICE_FMT "%s%s", SLICE_ARG(known), known.n ? ", " : "",
                             n->name);
    }
    if (near.best)
        return config_error(r->diag, place,
                            "'%s' does not know '" SLICE_FMT "'\n"
                            "did you mean '%s'?",
                            key, SLICE_ARG(name), near.best);
    return config_error(r->diag, place, "'%s' does not know '" SLICE_FMT "'\nknown: " SLICE_FMT,
                        key, SLICE_ARG(name), SLICE_ARG(known));
}

/* ---- balance ---- */

/* What it is called elsewhere, and what takes a value here. */
static bool unknown_balance(struct config_reader *r, const struct config_word *word)
{
    static const struct {
        struct slice there;
        const char *here;
    } others[] = {
        {SLICE_INIT("hash"), "hash=KEY, such as hash=client"},
        {SLICE_INIT("maglev"), "hash=KEY, such as hash=client"},
        {SLICE_INIT("source"), "hash=client"},
        {SLICE_INIT("ip_hash"), "hash=client"},
        {SLICE_INIT("carp"), "hash=path"},
        {SLICE_INIT("uri"), "hash=uri"},
        {SLICE_INIT("sticky"), "sticky=COOKIE"},
        {SLICE_INIT("cookie"), "sticky=COOKIE"},
        {SLICE_INIT("sqf"), "least-conn"},
        {SLICE_INIT("least_time"), "ewma"},
        {SLICE_INIT("random"), "random-two"},
        {SLICE_INIT("static"), "first"},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (slice_eq(word->text, others[i].there))
            return config_error(r->diag, word->at,
                                "'balance' does not know '" SLICE_FMT "'\nhere that is %s",
                                SLICE_ARG(word->text), others[i].here);
    return unknown_name(r, "balance", pool_balances, word->text, word->at);
}

static bool set_balance(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    struct pool_conf *pool = target;
    uint32_t count = d ? d->arg_count : 1;
    if (count > 1)
        return config_error(r->diag, word[1].at, "'balance' takes one name");
    if (count == 0 && d->option_count == 0)
        return config_error(r->diag, d->name.at, "'balance' takes a name");
    return count == 0 || find_name(pool_balances, word->text, &pool->balance) ||
           unknown_balance(r, word);
}

static bool set_hash(struct config_reader *r, const struct directive *d,
                     const struct config_word *word, void *target)
{
    struct pool_conf *pool = target;
    size_t colon = slice_find(word->text, ':');
    struct slice kind = slice_first(word->text, colon);
    if (d->arg_count)
        return config_error(r->diag, word->at,
                            "hash= is a way to balance of its own\nleave '" SLICE_FMT "' out",
                            SLICE_ARG(d->args[0].text));
    if (!find_name(pool_hash_kinds, kind, &pool->hash_kind))
        return unknown_name(r, "hash", pool_hash_kinds, kind, word->text_at);
    bool takes_name = pool->hash_kind == HASH_HEADER || pool->hash_kind == HASH_COOKIE;
    pool->balance = BALANCE_HASH;
    pool->hash_name = colon < word->text.n ? slice_skip(word->text, colon + 1) : SLICE_NONE;
    if (takes_name != (pool->hash_name.n > 0))
        return config_error(r->diag, word->text_at,
                            takes_name ? "hash=" SLICE_FMT ":NAME says which one"
                                       : "hash=" SLICE_FMT " takes no name",
                            SLICE_ARG(kind));
    return true;
}

static bool is_cookie_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_alnum && c != '-' && c != '_' && c != '.')
            return false;
    }
    return true;
}

static bool close_balance(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct pool_conf *pool = opened;
    return is_cookie_name(pool->sticky) ||
           config_error(r->diag, d->name.at, "'" SLICE_FMT "' cannot be the name of a cookie",
                        SLICE_ARG(pool->sticky));
}

/* ---- percentages and lists ---- */

static bool read_percent(struct config_reader *r, const struct config_word *word, uint32_t *out)
{
    uint64_t n;
    struct slice digits = slice_first(word->text, word->text.n ? word->text.n - 1 : 0);
    if (!slice_ends(word->text, SLICE("%")) || !num_dec(digits, &n) || n < 1 || n > 100)
        return config_error(r->diag, word->text_at,
                            "'" SLICE_FMT "' is no percentage\nwrite 1%% to 100%%",
                            SLICE_ARG(word->text));
    *out = (uint32_t)n;
    return true;
}

static bool set_budget(struct config_reader *r, const struct directive *d,
                       const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    pool->retry_budget = 0;
    return slice_eq(word->text, SLICE("unlimited")) || read_percent(r, word, &pool->retry_budget);
}

static bool set_hedge_budget(struct config_reader *r, const struct directive *d,
                             const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    return read_percent(r, word, &pool->hedge_budget);
}

static bool set_eject_errors(struct config_reader *r, const struct directive *d,
                             const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    return read_percent(r, word, &pool->eject_errors);
}

static bool set_adaptive(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    uint64_t n;
    struct slice digits = slice_first(word->text, word->text.n ? word->text.n - 1 : 0);
    if (!slice_ends(word->text, SLICE("%")) || !num_dec(digits, &n) || n < 110 || n > 1000)
        return config_error(r->diag, word->text_at,
                            "'" SLICE_FMT "' is no such percentage\nwrite 110%% to 1000%%",
                            SLICE_ARG(word->text));
    pool->adaptive_percent = (uint32_t)n;
    return true;
}

static bool set_eject_share(struct config_reader *r, const struct directive *d,
                            const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    return read_percent(r, word, &pool->eject_share);
}

static bool set_retry_on(struct config_reader *r, const struct directive *d,
                         const struct config_word *word, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    struct slice list = word->text, text;
    int bit;
    pool->retry_on = 0;
    pool->retry_statuses = (struct status_set){{0}};
    while (slice_next_token(&list, &text)) {
        if (find_name(pool_retries, text, &bit))
            pool->retry_on |= (uint32_t)bit;
        else if (!status_set_add(&pool->retry_statuses, text))
            return unknown_name(r, "on", pool_retries, text, word->text_at);
    }
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

static void *open_handoff(struct config_reader *r, const struct directive *d, void *target)
{
    (void)d;
    struct pool_conf *pool = target;
    struct handoff_line *line = arena_zalloc(r->arena, sizeof(*line));
    line->conf = &pool->handoff;
    return line;
}

static void *open_run(struct config_reader *r, const struct directive *d, void *target)
{
    struct pool_conf *pool = target;
    (void)d;
    pool->run = arena_zalloc(r->arena, sizeof(*pool->run));
    return pool->run;
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
        ok = config_error(r->diag, pool->at, "pool '" SLICE_FMT "' has no backend",
                          SLICE_ARG(pool->name));
    if (pool->backend_count && pool->spawn)
        ok = config_error(r->diag, pool->at,
                          "pool '" SLICE_FMT "' has backends and runs an application\n"
                          "its processes are its backends: make another pool for the others",
                          SLICE_ARG(pool->name));
    if (pool->adaptive_percent && pool->spawn)
        ok = config_error(r->diag, pool->at,
                          "'adaptive' is for backends: what processes take is their 'concurrency'");
    if (pool->adaptive_min > pool->adaptive_max)
        ok = config_error(r->diag, pool->at, "'adaptive': min is larger than max");
    if (pool->health.kind == HEALTH_VALUES && !slice_eq(pool->protocol, SLICE("fastcgi")))
        ok = config_error(r->diag, pool->at, "'health values' is a question of fastcgi's");
    for (uint32_t i = 0; i < pool->backend_count; i++)
        ok = backend_conf_finish(r, &pool->backends[i], pool->protocol, default_port) && ok;
    return pool_tls_finish(r, pool) && ok;
}
