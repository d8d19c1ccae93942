/* SPDX-License-Identifier: MIT */
#include "cli/cli_proxy.h"

#include <stdlib.h>
#include <string.h>

enum part { PART_GATEWAY, PART_TOP, PART_POOL };

/* Which line of the configuration an option becomes: "%s" is its value, quoted. */
struct line {
    const char *option;
    enum part part;
    const char *format;
};

/* clang-format off */
const struct cli_option cli_proxy_options[] = {
    {"to", "URL", "a backend: http://HOST:PORT, HOST:PORT or unix:PATH", 't', true},
    {"root", "DIR", "serve the files there; what none answers goes to the backends", 'r', false},
    {"listen", "ADDRESS", "PORT, IP:PORT, [IPv6]:PORT or unix:PATH; without it :8080", 'l', true},
    {"port", "PORT", "the same as --listen PORT; 0: any free one", 'p', false},
    {"threads", "N", "worker threads; without it one for each core", 0, false},
    {"balance", "NAME", "how a backend is picked: least-conn, ewma, hash=path, ...", 0, false},
    {"max-conns", "N", "connections to each backend at a time", 0, false},
    {"host", "NAME", "the Host field that backends see: keep, backend or a name", 0, false},
    {"attempts", "N", "connections tried for a request", 0, false},
    {"response-timeout", "TIME", "how long a backend may take to answer: 60s", 0, false},
    {"max-body", "SIZE", "limit for request bodies: 10m", 0, false},
    {"trust", "CIDR", "a network of proxies whose X-Forwarded-* fields count", 0, true},
    {"admin", "unix:PATH", "a socket for `sluice status`, `sluice top` and their like", 0, false},
    {"user", "NAME", "who to run as, when started by root", 0, false},
    {"access-log", "PATH", "a file, stdout, stderr or off", 0, false},
    {"log-format", "NAME", "of the access log: combined or json", 0, false},
    {"error-log", "PATH", "a file, stdout, stderr or off", 0, false},
    {"log-level", "NAME", "of the error log: error, warn, info or debug", 0, false},
    {"help", NULL, "show this", 'h', false},
    {.name = NULL},
};

static const struct line lines[] = {
    {"threads",          PART_GATEWAY, "    threads  %s\n"},
    {"user",             PART_GATEWAY, "    user  %s\n"},
    {"admin",            PART_GATEWAY, "    admin  %s\n"},
    {"max-body",         PART_GATEWAY, "    limit  body=%s\n"},
    {"trust",            PART_GATEWAY, "    trusted-proxies  %s\n"},
    {"listen",           PART_TOP,     "listen %s\n"},
    {"port",             PART_TOP,     "listen %s\n"},
    {"balance",          PART_POOL,    "    balance  %s\n"},
    {"host",             PART_POOL,    "    host  %s\n"},
    {"attempts",         PART_POOL,    "    retry  attempts=%s\n"},
    {"response-timeout", PART_POOL,    "    timeout  response=%s\n"},
};
/* clang-format on */

/* In quotes, as nothing of it shall be syntax. */
static const char *quote(struct arena *a, const char *text)
{
    char *quoted = arena_alloc(a, strlen(text) * 2 + 3), *p = quoted;
    *p++ = '"';
    for (; *text; text++) {
        if (strchr("\"\\$", *text))
            *p++ = '\\';
        *p++ = *text;
    }
    *p++ = '"';
    *p = '\0';
    return quoted;
}

static const char *plain_or_quoted(struct arena *a, const char *text)
{
    return *text && !text[strcspn(text, " \t\n\"\\#;{}$=~")] ? text : quote(a, text);
}

static struct slice append(struct arena *a, struct slice to, struct slice more)
{
    return arena_printf(a, SLICE_FMT SLICE_FMT, SLICE_ARG(to), SLICE_ARG(more));
}

/* The formats are the table's above, with one %s each. */
static struct slice fill_in(struct arena *a, const char *format, const char *value)
{
    const char *hole = strstr(format, "%s");
    return arena_printf(a, SLICE_FMT "%s%s", (int)(hole - format), format,
                        plain_or_quoted(a, value), hole + 2);
}

static struct slice lines_of(const struct cli_args *args, enum part part, struct arena *a)
{
    struct slice text = SLICE("");
    for (uint32_t i = 0; i < args->value_count; i++)
        for (size_t j = 0; j < sizeof(lines) / sizeof(lines[0]); j++)
            if (lines[j].part == part && strcmp(lines[j].option, args->values[i].option->name) == 0)
                text = append(a, text, fill_in(a, lines[j].format, args->values[i].text));
    return text;
}

static struct slice log_line(const struct cli_args *args, struct arena *a, const char *key,
                             const char *otherwise, const char *option, const char *option_key)
{
    const char *path = cli_args_get(args, key), *value = cli_args_get(args, option);
    if (!path && !value)
        return SLICE("");
    return arena_printf(a, "    %s  %s%s%s%s%s\n", key, plain_or_quoted(a, path ? path : otherwise),
                        value ? "  " : "", value ? option_key : "", value ? "=" : "",
                        value ? plain_or_quoted(a, value) : "");
}

static struct slice backend_lines(const struct cli_args *args, struct arena *a)
{
    const char *max_conns = cli_args_get(args, "max-conns");
    struct slice text = SLICE("");
    for (uint32_t i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].option->name, "to") == 0)
            text = arena_printf(a, SLICE_FMT "    backend  %s%s%s\n", SLICE_ARG(text),
                                plain_or_quoted(a, args->values[i].text),
                                max_conns ? "  max-conns=" : "",
                                max_conns ? plain_or_quoted(a, max_conns) : "");
    return text;
}

static bool has_scripts(const struct cli_args *args)
{
    for (uint32_t i = 0; i < args->value_count; i++)
        if (strcmp(args->values[i].option->name, "to") == 0 &&
            strncmp(args->values[i].text, "fastcgi:", 8) == 0)
            return true;
    return false;
}

/* Files first, but no scripts: those are for FastCGI backends to run. */
static struct slice site_lines(const struct cli_args *args, struct arena *a)
{
    const char *dir = cli_args_get(args, "root");
    if (!dir)
        return SLICE("    route * { proxy proxy }\n");
    char *whole = realpath(dir, NULL);
    struct slice root = arena_printf(a, "    root  %s\n", plain_or_quoted(a, whole ? whole : dir));
    free(whole);
    const char *rest = !cli_args_get(args, "to") ? "    index  index.html\n    route * { files }\n"
                       : has_scripts(args)       ? "    index  index.html index.php\n"
                                                   "    route *.php { proxy proxy }\n"
                                                   "    route * { files else /index.php }\n"
                                                 : "    index  index.html\n"
                                                   "    route * { files else next }\n"
                                                   "    route * { proxy proxy }\n";
    return arena_printf(a, SLICE_FMT "%s", SLICE_ARG(root), rest);
}

static struct slice pool_block(const struct cli_args *args, struct arena *a)
{
    struct slice backends = backend_lines(args, a), keys = lines_of(args, PART_POOL, a);
    if (!cli_args_get(args, "to"))
        return SLICE("");
    return arena_printf(a, "pool proxy {\n" SLICE_FMT SLICE_FMT "}\n", SLICE_ARG(backends),
                        SLICE_ARG(keys));
}

struct slice cli_proxy_text(const struct cli_args *args, struct arena *a)
{
    struct slice top = lines_of(args, PART_TOP, a), pool = pool_block(args, a);
    struct slice gateway = lines_of(args, PART_GATEWAY, a), site = site_lines(args, a);
    struct slice access = log_line(args, a, "access-log", "stdout", "log-format", "format");
    struct slice error = log_line(args, a, "error-log", "stderr", "log-level", "level");
    return arena_printf(a,
                        "gateway {\n" SLICE_FMT SLICE_FMT SLICE_FMT "}\n" SLICE_FMT SLICE_FMT
                        "site * {\n" SLICE_FMT "}\n",
                        SLICE_ARG(gateway), SLICE_ARG(access), SLICE_ARG(error),
                        SLICE_ARG(top.n ? top : SLICE("listen :8080\n")), SLICE_ARG(pool),
                        SLICE_ARG(site));
}
