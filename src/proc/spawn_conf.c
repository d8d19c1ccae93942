/* SPDX-License-Identifier: MIT */
#include "proc/spawn_conf.h"

#include <sys/resource.h>

#include "base/num.h"
#include "net/file.h"

static key_set_fn set_processes, set_backoff, set_env, set_umask, set_limit;

enum { PROCESSES_MAX = 1000, CONCURRENCY_OTHERS = 64 };

static const struct key_name sockets[] = {
    {"inherit", SPAWN_FD0,
     "a listening unix socket on descriptor 0, as FastCGI and SCGI "
     "applications expect"},
    {"fd3", SPAWN_FD3, "the same on descriptor 3, announced by LISTEN_FDS and LISTEN_PID"},
    {"port", SPAWN_PORT, "it listens on 127.0.0.1 itself, at the port in $PORT and {port}"},
    {"path", SPAWN_PATH, "it listens itself, on the unix socket in $SOCKET and {path}"},
    {NULL, 0, NULL},
};

static const struct key_name links[] = {
#define X(name, text, help) {text, FILE_LINKS_##name, help},
    FILE_LINKS(X)
#undef X
        {NULL, 0, NULL},
};

/* How the options of `limit` are stored is set_limit()'s: the rows say what they are. */
enum limit_kind { LIMIT_COUNT, LIMIT_BYTES, LIMIT_TIME };
static const struct limit_row {
    const char *name;
    uint32_t resource;
    enum limit_kind kind;
} limit_rows[] = {
    {"nofile", RLIMIT_NOFILE, LIMIT_COUNT}, {"nproc", RLIMIT_NPROC, LIMIT_COUNT},
    {"as", RLIMIT_AS, LIMIT_BYTES},         {"data", RLIMIT_DATA, LIMIT_BYTES},
    {"stack", RLIMIT_STACK, LIMIT_BYTES},   {"core", RLIMIT_CORE, LIMIT_BYTES},
    {"fsize", RLIMIT_FSIZE, LIMIT_BYTES},   {"memlock", RLIMIT_MEMLOCK, LIMIT_BYTES},
    {"cpu", RLIMIT_CPU, LIMIT_TIME},
};

/* clang-format off */
#define LIMIT_KEY(limit, text, words) \
    {.name = limit, .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_limit, .syntax = text, \
     .help = words}

static const struct key limit_options[] = {
    LIMIT_KEY("nofile", "COUNT", "open descriptors"),
    LIMIT_KEY("nproc", "COUNT", "processes and threads of its user"),
    LIMIT_KEY("as", "SIZE", "address space"),
    LIMIT_KEY("data", "SIZE", "heap and other private memory"),
    LIMIT_KEY("stack", "SIZE", "stack"),
    LIMIT_KEY("core", "SIZE", "core dump"),
    LIMIT_KEY("fsize", "SIZE", "a file it writes"),
    LIMIT_KEY("memlock", "SIZE", "locked memory"),
    LIMIT_KEY("cpu", "TIME", "processor time, in all"),
    {.name = NULL},
};

static const struct key socket_options[] = {
    {.name = "shared", .type = KEY_BOOL, .at = at(struct spawn_conf, shared), .init = "off",
     .help = "one listening socket for all processes, instead of one for each. Requests can then "
             "not be steered: max-requests is left to the application, and TERM must let it finish"},
    {.name = NULL},
};

/* As whom and within which limits: of applications and CGI programs alike. */
#define IDENTITY_KEYS \
    {.name = "user", .type = KEY_STRING, .at = at(struct spawn_conf, user), \
     .place = at(struct spawn_conf, user_at), .syntax = "NAME", \
     .help = "who it runs as; needs a start as root. Without it: who the gateway runs as"}, \
    {.name = "group", .type = KEY_STRING, .at = at(struct spawn_conf, group), \
     .place = at(struct spawn_conf, group_at), .syntax = "NAME", \
     .help = "the group it runs as; without it the user's own"}, \
    {.name = "umask", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_umask, .syntax = "OCTAL", \
     .help = "permissions that files it makes do not get"}, \
    {.name = "limit", .type = KEY_NONE, .options = limit_options, \
     .help = "resource limits; `unlimited` lifts one"}, \
    {.name = "cgroup", .type = KEY_STRING, .at = at(struct spawn_conf, cgroup), .syntax = "DIR", \
     .help = "directory of the cgroup it is put into; must exist and be writable"}

#define ENV_KEY(more) \
    {.name = "env", .type = KEY_CUSTOM, .flags = KEY_REPEAT, .set = set_env, \
     .syntax = "NAME=VALUE...", \
     .help = "variables of its environment, which has else only PATH, HOME, USER, LANG, LC_ALL, " \
             "TZ and TMPDIR" more}

const struct key spawn_keys[] = {
    {.name = "processes", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_processes, .init = "1",
     .syntax = "MIN..MAX | COUNT",
     .help = "how many processes: MIN are always there, up to MAX while requests wait. 0..MAX "
             "starts the first when a request comes"},
    {.name = "concurrency", .type = KEY_UINT, .at = at(struct spawn_conf, concurrency),
     .init = "auto", .zero = "auto", .max = "100000",
     .help = "requests that a process takes at a time; auto: 1 with `socket inherit`, else 64"},
    {.name = "socket", .type = KEY_ENUM, .at = at(struct spawn_conf, socket), .init = "inherit",
     .names = sockets, .options = socket_options, .help = "where the application listens"},
    {.name = "idle-timeout", .type = KEY_MS, .at = at(struct spawn_conf, idle_ms),
     .init = "60s", .zero = "off", .min = "1ms", .max = "30d",
     .help = "processes beyond MIN are stopped when fewer have been enough for so long"},
    {.name = "max-requests", .type = KEY_UINT, .at = at(struct spawn_conf, max_requests),
     .init = "0", .zero = "unlimited", .help = "a process that has served so many, or a few more, is replaced"},
    {.name = "memory", .type = KEY_SIZE, .at = at(struct spawn_conf, memory_bytes),
     .init = "0", .zero = "unlimited",
     .help = "a process whose resident memory is larger is replaced, between requests"},
    {.name = "max-age", .type = KEY_MS, .at = at(struct spawn_conf, age_ms),
     .init = "0", .zero = "unlimited", .max = "40d", .help = "an older process is replaced"},
    {.name = "start-timeout", .type = KEY_MS, .at = at(struct spawn_conf, start_ms),
     .init = "10s", .min = "1ms", .max = "1h", .help = "until a process answers at its address"},
    {.name = "stop-timeout", .type = KEY_MS, .at = at(struct spawn_conf, stop_ms),
     .init = "10s", .min = "1ms", .max = "1h", .help = "from TERM to KILL"},
    {.name = "drain-timeout", .type = KEY_MS, .at = at(struct spawn_conf, drain_ms),
     .init = "60s", .min = "1ms", .max = "1d",
     .help = "for the requests of a process that is to be stopped, before TERM"},
    {.name = "backoff", .type = KEY_CUSTOM, .flags = KEY_ONE, .set = set_backoff,
     .init = "100ms..30s", .syntax = "MIN..MAX",
     .help = "wait before the next start after a failed one; doubled each time"},
    IDENTITY_KEYS,
    {.name = "directory", .type = KEY_STRING, .at = at(struct spawn_conf, directory),
     .place = at(struct spawn_conf, directory_at), .syntax = "DIR",
     .help = "where it runs; without it where sluice was started"},
    ENV_KEY("; {port}, {path} and {n} are replaced"),
    {.name = NULL},
};

const struct key spawn_run_keys[] = {
    IDENTITY_KEYS,
    ENV_KEY(" besides the variables of CGI"),
    {.name = "finish-timeout", .type = KEY_MS, .at = at(struct spawn_conf, finish_ms),
     .init = "10s", .min = "1ms", .max = "1d",
     .help = "how long a program may go on that has closed its output, until TERM"},
    {.name = "stop-timeout", .type = KEY_MS, .at = at(struct spawn_conf, stop_ms),
     .init = "2s", .min = "1ms", .max = "1h", .help = "from TERM to KILL"},
    {.name = "symlinks", .type = KEY_ENUM, .at = at(struct spawn_conf, links), .init = "on",
     .names = links, .help = "what symbolic links in a directory of programs are worth"},
    {.name = "dotfiles", .type = KEY_BOOL, .at = at(struct spawn_conf, dotfiles), .init = "off",
     .help = "whether programs of a directory are run whose names begin with a dot, or that of a "
             "directory they are in"},
    {.name = NULL},
};
/* clang-format on */

/* ---- texts in one piece of memory ---- */

static void add_string(struct config_reader *r, struct strings *s, struct slice text)
{
    char *grown = arena_alloc(r->arena, s->bytes + text.n + 1);
    if (s->bytes)
        memcpy(grown, s->p, s->bytes);
    memcpy(grown + s->bytes, text.p, text.n);
    grown[s->bytes + text.n] = '\0';
    s->p = grown;
    s->bytes += (uint32_t)text.n + 1;
    s->count++;
}

bool spawn_conf_set(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    conf->at = d->name.at;
    if (!d->arg_count || !word[0].text.n)
        return config_error(r->diag, d->name.at, "'spawn' takes a command and its arguments");
    if (d->arg_count > MESSAGE_ARGS_MAX)
        return config_error(r->diag, d->name.at, "more than %d arguments", MESSAGE_ARGS_MAX);
    for (uint32_t i = 0; i < d->arg_count; i++)
        add_string(r, &conf->command, word[i].text);
    return true;
}

static bool set_env(struct config_reader *r, const struct directive *d,
                    const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    if (!d->arg_count)
        return config_error(r->diag, d->name.at,
                            "'env' takes NAME=VALUE\nquote a name in small "
                            "letters: env \"name=value\"");
    for (uint32_t i = 0; i < d->arg_count; i++) {
        size_t name_n = slice_find(word[i].text, '=');
        if (name_n == 0 || name_n == word[i].text.n)
            return config_error(r->diag, word[i].at, "'" SLICE_FMT "' is not NAME=VALUE",
                                SLICE_ARG(word[i].text));
        add_string(r, &conf->env, word[i].text);
    }
    return true;
}

/* ---- ranges and numbers ---- */

/* "A..B", or "A" for both. */
static void split_range(struct slice text, struct slice *low, struct slice *high)
{
    size_t i = 0;
    while (i < text.n && !slice_starts(slice_skip(text, i), SLICE("..")))
        i++;
    *low = slice_first(text, i);
    *high = i < text.n ? slice_skip(text, i + 2) : text;
}

static bool set_processes(struct config_reader *r, const struct directive *d,
                          const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    struct slice low, high;
    uint64_t min, max;
    (void)d;
    split_range(word->text, &low, &high);
    if (!num_dec(low, &min) || !num_dec(high, &max))
        return config_error(r->diag, word->text_at,
                            "'processes' takes MIN..MAX or a number, not '" SLICE_FMT "'",
                            SLICE_ARG(word->text));
    if (max < 1 || min > max || max > PROCESSES_MAX)
        return config_error(r->diag, word->text_at,
                            "'processes' is " SLICE_FMT
                            ": MIN is at most MAX, and MAX between 1 and %d",
                            SLICE_ARG(word->text), PROCESSES_MAX);
    conf->min = (uint32_t)min;
    conf->max = (uint32_t)max;
    return true;
}

static bool set_backoff(struct config_reader *r, const struct directive *d,
                        const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    struct slice low, high;
    uint64_t min, max;
    (void)d;
    split_range(word->text, &low, &high);
    if (!num_ms(low, &min) || !num_ms(high, &max) || min < 1 || min > max || max > 3600000)
        return config_error(
            r->diag, word->text_at,
            "'backoff' takes two times such as 100ms..30s, of 1ms to 1h, not '" SLICE_FMT "'",
            SLICE_ARG(word->text));
    conf->backoff_min_ms = (uint32_t)min;
    conf->backoff_max_ms = (uint32_t)max;
    return true;
}

static bool set_umask(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    uint32_t v = 0;
    bool ok = word->text.n >= 1 && word->text.n <= 4;
    (void)d;
    for (size_t i = 0; ok && i < word->text.n; i++) {
        ok = word->text.p[i] >= '0' && word->text.p[i] <= '7';
        v = v * 8 + (uint32_t)(word->text.p[i] - '0');
    }
    if (!ok || v > 0777)
        return config_error(r->diag, word->text_at, "'umask' takes octal digits such as 027");
    conf->umask = v;
    conf->has_umask = true;
    return true;
}

static bool parse_limit(const struct limit_row *row, struct slice text, uint64_t *value)
{
    *value = UINT64_MAX;
    if (slice_eq(text, SLICE("unlimited")))
        return true;
    switch (row->kind) {
    case LIMIT_COUNT: return num_dec(text, value);
    case LIMIT_BYTES: return num_size(text, value);
    case LIMIT_TIME: {
        bool ok = num_ms(text, value);
        *value = (*value + 999) / 1000;
        return ok;
    }
    }
    return false;
}

static bool set_limit(struct config_reader *r, const struct directive *d,
                      const struct config_word *word, void *target)
{
    struct spawn_conf *conf = target;
    (void)d;
    for (size_t i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
        uint64_t value;
        if (!slice_eq(word->option, slice_str(limit_rows[i].name)))
            continue;
        if (!parse_limit(&limit_rows[i], word->text, &value))
            return config_error(r->diag, word->text_at, "'%s' cannot be '" SLICE_FMT "'",
                                limit_rows[i].name, SLICE_ARG(word->text));
        conf->limits[conf->limit_count++] =
            (struct spawn_limit){.resource = limit_rows[i].resource, .value = value};
    }
    return true;
}

/* ---- across keys ---- */

static bool mentions(const struct strings *s, const char *what)
{
    for (const char *at = NULL; strings_next(s, &at);)
        if (strstr(at, what))
            return true;
    return false;
}

bool spawn_conf_close(struct config_reader *r, const struct directive *d, void *opened)
{
    const struct spawn_conf *conf = opened;
    if (conf->group.n && !conf->user.n)
        return config_error(r->diag, d->name.at, "'group' needs 'user'");
    if (conf->shared && (conf->socket == SPAWN_PORT || conf->socket == SPAWN_PATH))
        return config_error(r->diag, d->name.at,
                            "a socket that the application makes itself cannot be shared");
    if (conf->socket != SPAWN_PORT && (mentions(&conf->command, "{port}")))
        return config_error(r->diag, d->name.at,
                            "the command has a {port}\nwrite 'socket port' "
                            "in its block");
    if (conf->socket != SPAWN_PATH && (mentions(&conf->command, "{path}")))
        return config_error(r->diag, d->name.at,
                            "the command has a {path}\nwrite 'socket path' "
                            "in its block");
    return true;
}

uint32_t spawn_conf_concurrency(const struct spawn_conf *conf)
{
    if (conf->concurrency)
        return conf->concurrency;
    return conf->socket == SPAWN_FD0 ? 1 : CONCURRENCY_OTHERS;
}

bool spawn_conf_runs_alike(const struct spawn_conf *a, const struct spawn_conf *b)
{
    return a->min == b->min && a->max == b->max && a->concurrency == b->concurrency &&
           a->idle_ms == b->idle_ms && a->max_requests == b->max_requests &&
           a->memory_bytes == b->memory_bytes && a->age_ms == b->age_ms &&
           a->start_ms == b->start_ms && a->stop_ms == b->stop_ms && a->drain_ms == b->drain_ms &&
           a->backoff_min_ms == b->backoff_min_ms && a->backoff_max_ms == b->backoff_max_ms &&
           a->socket == b->socket && a->shared == b->shared;
}
