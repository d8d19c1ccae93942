/* The commands that talk to a running gateway.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "admin/cli_remote.h"
#include "admin/table.h"
#include "base/num.h"
#include "config/suggest.h"

static command_fn run_status, run_pools, run_pool, run_reload, run_stop, run_upgrade;

/* clang-format off */
#define CONFIG_OPTION {"config", "FILE", "the configuration that says where the gateway is reached", 'c', false}
#define ADMIN_OPTION {"admin", "ADDRESS", "where it is reached: unix:PATH or IP:PORT; a token is taken from SLUICE_TOKEN", 0, false}
#define JSON_OPTION {"json", NULL, "as JSON, for programs", 0, false}
#define HELP_OPTION {"help", NULL, "show this", 'h', false}

static const struct cli_option show_options[] = {CONFIG_OPTION, ADMIN_OPTION, JSON_OPTION, HELP_OPTION, {.name = NULL}};
static const struct cli_option do_options[] = {CONFIG_OPTION, ADMIN_OPTION, HELP_OPTION, {.name = NULL}};

static const struct cli_option pool_options[] = {
    CONFIG_OPTION, ADMIN_OPTION,
    {"weight", "N", "with add: the share of requests it gets, 1 to 1000", 'w', false},
    {"max-conns", "N", "with add: connections to it at a time", 0, false},
    {"backup", NULL, "with add: asked when no other can be", 0, false},
    {"json", NULL, "without a verb: the pool as JSON, for programs", 0, false},
    HELP_OPTION, {.name = NULL},
};

const struct command admin_commands[] = {
    {"status", "", 0, 0, show_options, run_status, "Show how the running gateway is",
     "Its exit status is 1 if there is none."},
    {"pools", "", 0, 0, show_options, run_pools, "List pools and backends with their numbers", NULL},
    {"pool", "NAME [VERB BACKEND...]", 1, 255, pool_options, run_pool,
     "Show a pool, or change its backends while it works",
     "Verbs:\n"
     "  drain BACKEND...           nothing new but who sticks to it\n"
     "  disable BACKEND...         nothing at all\n"
     "  enable BACKEND...          undoes both, and what health has found\n"
     "  weight BACKEND... N        its share of requests, 1 to 1000\n"
     "  remove BACKEND...          takes it out of the pool\n"
     "  add BACKEND...             adds an address, or brings one back; weight=N, max-conns=N and\n"
     "                             backup may follow, as in the configuration\n"
     "  restart                    replaces its processes, a few at a time\n\n"
     "A BACKEND is an address as `sluice pools` shows it, or the name that a line of the\n"
     "configuration gives: then all of its addresses. Changes outlive a reload, and with\n"
     "gateway { state FILE } a restart; `sluice status` lists them."},
    {"top", "", 0, 0, do_options, cli_run_top, "Watch pools, backends, queues and rates live",
     "Keys: s sorts by another column, q quits."},
    {"reload", "", 0, 0, do_options, run_reload, "Have the gateway load its configuration again",
     "A configuration with errors is refused: they are shown, and the old one goes on serving."},
    {"upgrade", "", 0, 0, do_options, run_upgrade,
     "Have another process take over: a new program, or settings that only a start changes",
     "The program is started anew by the command line of the one that runs, and handed its sockets: no\n"
     "connection is lost. If it does not come to serve, the old one goes on."},
    {"stop", "", 0, 0, do_options, run_stop, "Stop the gateway gracefully; the second time, at once", NULL},
    {.name = NULL},
};
/* clang-format on */

static int print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
    return EXIT_OK;
}

/* ---- status ---- */

static void put_uptime(uint64_t s)
{
    if (s >= 86400)
        printf("%llu d ", (unsigned long long)(s / 86400));
    printf("%02llu:%02llu:%02llu", (unsigned long long)(s / 3600 % 24),
           (unsigned long long)(s / 60 % 60), (unsigned long long)(s % 60));
}

static void print_changes(const json_t *changes)
{
    size_t i;
    const json_t *it;
    json_array_foreach(changes, i, it)
    {
        printf("%s%s %s: %s\n", i ? "               " : "differs        ", json_text_at(it, "pool"),
               json_text_at(it, "backend"), json_text_at(it, "change"));
    }
}

static void print_status(const json_t *j)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    char p50[TABLE_CELL_MAX], p99[TABLE_CELL_MAX], path[32];
    const char *between = "";
    printf("sluice %s, process %llu, %s, up ", json_text_at(j, "version"),
           (unsigned long long)json_number_at(j, "pid"),
           json_is_true(json_object_get(j, "stopping")) ? "stopping" : "running");
    put_uptime(json_number_at(j, "uptime_s"));
    printf("\nconfiguration  %llu since the start, %llu pools, %llu threads\n",
           (unsigned long long)json_number_at(j, "generation"),
           (unsigned long long)json_number_at(j, "pools"),
           (unsigned long long)json_number_at(j, "threads"));
    printf("clients        %llu connected, %llu since the start\n",
           (unsigned long long)json_number_at(j, "clients.open"),
           (unsigned long long)json_number_at(j, "clients.total"));
    printf("requests       %llu in flight, %llu ended (",
           (unsigned long long)json_number_at(j, "requests.in_flight"),
           (unsigned long long)json_number_at(j, "requests.total"));
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        snprintf(path, sizeof(path), "requests.%s", classes[i]);
        printf("%s%s %llu", between, classes[i], (unsigned long long)json_number_at(j, path));
        between = ", ";
    }
    printf(")\nlatency        median %s, 99 %% below %s\n",
           table_duration(p50, json_number_at(j, "requests.latency.p50_us")),
           table_duration(p99, json_number_at(j, "requests.latency.p99_us")));
    print_changes(json_object_get(j, "changes"));
}

static int run_status(const struct cli_args *args)
{
    json_t *json = cli_ask(args, "GET", "/status", NULL);
    if (!json)
        return EXIT_FAILED;
    if (cli_args_get(args, "json"))
        return print_json(json);
    print_status(json);
    json_decref(json);
    return EXIT_OK;
}

/* ---- pools ---- */

static void add_titles(struct table *t)
{
    static const char *const titles[] = {"POOL / BACKEND", "STATE",    "WEIGHT", "BUSY", "OPEN",
                                         "QUEUE",          "REQUESTS", "4XX",    "5XX",  "FAILED",
                                         "RETRIES",        "P50",      "P99"};
    table_row(t);
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
        table_cell(t, "%s", titles[i]);
}

static uint64_t sum_of(const json_t *j, const char *const *paths, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += json_number_at(j, paths[i]);
    return sum;
}

static void add_numbers(struct table *t, const json_t *j)
{
    static const char *const answered[] = {"counters.1xx", "counters.2xx", "counters.3xx",
                                           "counters.4xx", "counters.5xx", "counters.no_response"};
    static const char *const failed[] = {"counters.failed_connect", "counters.failed_broken",
                                         "counters.failed_timeout", "counters.failed_protocol"};
    table_cell(t, "%llu", (unsigned long long)sum_of(j, answered, 6));
    table_cell(t, "%llu", (unsigned long long)json_number_at(j, "counters.4xx"));
    table_cell(t, "%llu", (unsigned long long)json_number_at(j, "counters.5xx"));
    table_cell(t, "%llu", (unsigned long long)sum_of(j, failed, 4));
    table_cell(t, "%llu", (unsigned long long)json_number_at(j, "counters.retries"));
    table_cell_us(t, json_number_at(j, "latency.total_us.p50_us"));
    table_cell_us(t, json_number_at(j, "latency.total_us.p99_us"));
}

static void add_conns(struct table *t, const json_t *j)
{
    table_cell(t, "%llu", (unsigned long long)json_number_at(j, "connections.busy"));
    if (json_number_at(j, "connections.limit"))
        table_cell(t, "%llu/%llu", (unsigned long long)json_number_at(j, "connections.open"),
                   (unsigned long long)json_number_at(j, "connections.limit"));
    else
        table_cell(t, "%llu", (unsigned long long)json_number_at(j, "connections.open"));
}

static void add_process(struct table *t, const json_t *p)
{
    char size[TABLE_CELL_MAX];
    table_row(t);
    table_cell(t, "  process %llu, %s", (unsigned long long)json_number_at(p, "pid"),
               table_bytes(size, (double)json_number_at(p, "resident_bytes")));
    table_cell(t, "%s", json_text_at(p, "state"));
    table_cell(t, "%s", "");
    table_cell(t, "%llu", (unsigned long long)json_number_at(p, "busy"));
    table_cell(t, "%s", "");
    table_cell(t, "%s", "");
    table_cell(t, "%llu", (unsigned long long)json_number_at(p, "served"));
}

static void add_pool(struct table *t, const json_t *pool)
{
    size_t i;
    const json_t *b;
    table_row(t);
    table_cell(t, "%s", json_text_at(pool, "name"));
    table_cell(t, "%s", json_text_at(pool, "balance"));
    table_cell(t, "%s", "");
    add_conns(t, pool);
    table_cell(t, "%llu/%llu", (unsigned long long)json_number_at(pool, "queue.waiting"),
               (unsigned long long)json_number_at(pool, "queue.length"));
    add_numbers(t, pool);
    json_array_foreach(json_object_get(pool, "backends"), i, b)
    {
        table_row(t);
        table_cell(t, "  %s", json_text_at(b, "address"));
        table_cell(t, "%s", json_text_at(b, "state"));
        table_cell(t, "%llu", (unsigned long long)json_number_at(b, "weight"));
        add_conns(t, b);
        table_cell(t, "%s", "");
        add_numbers(t, b);
    }
    json_array_foreach(json_object_get(pool, "processes"), i, b) add_process(t, b);
}

static int run_pools(const struct cli_args *args)
{
    json_t *json = cli_ask(args, "GET", "/pools", NULL), *pool;
    size_t i;
    if (!json)
        return EXIT_FAILED;
    if (cli_args_get(args, "json"))
        return print_json(json);
    struct table t;
    table_init(&t, 2);
    add_titles(&t);
    json_array_foreach(json_object_get(json, "pools"), i, pool) add_pool(&t, pool);
    table_put(&t, stdout);
    table_fini(&t);
    json_decref(json);
    return EXIT_OK;
}

/* ---- pool ---- */

static int show_pool(const struct cli_args *args)
{
    char path[CLI_PATH_MAX];
    cli_put_path(path, "/pools/", args->operands[0], NULL, NULL);
    json_t *json = cli_ask(args, "GET", path, NULL);
    if (!json)
        return EXIT_FAILED;
    if (cli_args_get(args, "json"))
        return print_json(json);
    struct table t;
    table_init(&t, 2);
    add_titles(&t);
    add_pool(&t, json);
    table_put(&t, stdout);
    table_fini(&t);
    json_decref(json);
    return EXIT_OK;
}

static bool change_backend(const struct cli_args *args, const char *verb, const char *backend,
                           const char *query)
{
    char path[CLI_PATH_MAX];
    cli_put_path(path, "/pools/", args->operands[0], "/backends/", backend);
    size_t n = strlen(path);
    snprintf(path + n, sizeof(path) - n, "/%s%s", verb, query);
    json_t *json = cli_ask(args, "POST", path, NULL);
    if (!json)
        return false;
    printf("%s: %s %s\n", args->operands[0], verb, backend);
    if (*json_text_at(json, "warning"))
        fprintf(stderr, "sluice pool: %s\n", json_text_at(json, "warning"));
    json_decref(json);
    return true;
}

static const char *option(const struct cli_args *args, const char *name, const char *otherwise)
{
    const char *value = cli_args_get(args, name);
    return value ? value : otherwise;
}

/* What is said of the backends of an order. */
struct said {
    const char *weight, *max_conns;
    bool is_backup;
};

/* As a line of the configuration says it: weight=3, max-conns=9, backup. */
static bool take_word(const char *word, struct said *said)
{
    static const char weight[] = "weight=", max_conns[] = "max-conns=";
    if (strncmp(word, weight, sizeof(weight) - 1) == 0)
        said->weight = word + sizeof(weight) - 1;
    else if (strncmp(word, max_conns, sizeof(max_conns) - 1) == 0)
        said->max_conns = word + sizeof(max_conns) - 1;
    else if (strcmp(word, "backup") == 0)
        said->is_backup = true;
    else
        return false;
    return true;
}

/* Before anything is changed. What is added is an address; else the name of a line will do. */
static bool are_backends(const char *const *words, uint32_t count, bool adds)
{
    struct said unused;
    for (uint32_t i = 0; i < count; i++)
        if (take_word(words[i], &unused) || (adds && !strchr(words[i], ':'))) {
            fprintf(stderr,
                    "sluice pool: '%s' is no backend, which is an ADDRESS:PORT or unix:/PATH\n",
                    words[i]);
            return false;
        }
    return true;
}

/* What stands behind the path; in at least 64 bytes. False: a number is none. */
static bool make_query(const char *verb, const struct said *said, char *query, size_t room)
{
    uint64_t v;
    *query = '\0';
    if (!num_dec(slice_str(said->weight), &v) || !num_dec(slice_str(said->max_conns), &v)) {
        fprintf(stderr, "sluice pool: '%s' is no number\n",
                num_dec(slice_str(said->weight), &v) ? said->max_conns : said->weight);
        return false;
    }
    if (strcmp(verb, "weight") == 0)
        snprintf(query, room, "?weight=%.20s", said->weight);
    if (strcmp(verb, "add") == 0)
        snprintf(query, room, "?weight=%.20s&max-conns=%.20s%s", said->weight, said->max_conns,
                 said->is_backup ? "&backup=1" : "");
    return true;
}

static bool is_verb(const char *word)
{
    static const char *const verbs[] = {"add",     "remove", "drain",  "enable",
                                        "disable", "weight", "restart"};
    struct suggest near = suggest_for(slice_str(word));
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i], word) == 0)
            return true;
        suggest_try(&near, verbs[i]);
    }
    fprintf(stderr, "sluice pool: unknown verb '%s'\n", word);
    if (near.best)
        fprintf(stderr, "    hint: did you mean '%s'?\n", near.best);
    else
        fputs("    hint: sluice pool --help lists what there is\n", stderr);
    return false;
}

static int restart_pool(const struct cli_args *args)
{
    char path[CLI_PATH_MAX];
    cli_put_path(path, "/pools/", args->operands[0], "/restart", NULL);
    if (args->operand_count > 2) {
        fputs("sluice pool: restart takes no backend: it is for the pool\n", stderr);
        return EXIT_USAGE;
    }
    json_t *json = cli_ask(args, "POST", path, NULL);
    json_decref(json);
    if (json)
        printf("%s: its processes are being replaced\n", args->operands[0]);
    return json ? EXIT_OK : EXIT_FAILED;
}

static int run_pool(const struct cli_args *args)
{
    if (args->operand_count == 1)
        return show_pool(args);
    const char *verb = args->operands[1];
    if (!is_verb(verb))
        return EXIT_USAGE;
    if (strcmp(verb, "restart") == 0)
        return restart_pool(args);
    bool weighs = strcmp(verb, "weight") == 0, adds = strcmp(verb, "add") == 0;
    uint32_t end = weighs ? args->operand_count - 1 : args->operand_count;
    struct said said = {.weight = weighs ? args->operands[end] : option(args, "weight", "0"),
                        .max_conns = option(args, "max-conns", "0"),
                        .is_backup = cli_args_get(args, "backup")};
    while (adds && end > 2 && take_word(args->operands[end - 1], &said))
        end--;
    if (end <= 2) {
        fprintf(stderr, "sluice pool: %s %s\n", verb,
                weighs ? "takes a backend and its weight" : "which backend?");
        return EXIT_USAGE;
    }
    char query[96];
    if (!are_backends(args->operands + 2, end - 2, adds) ||
        !make_query(verb, &said, query, sizeof(query)))
        return EXIT_USAGE;
    bool ok = true;
    for (uint32_t i = 2; i < end; i++)
        ok &= change_backend(args, verb, args->operands[i], query);
    return ok ? EXIT_OK : EXIT_FAILED;
}

/* ---- reload, stop, upgrade ---- */

static int run_reload(const struct cli_args *args)
{
    json_t *json = cli_ask(args, "POST", "/reload", NULL);
    if (!json)
        return EXIT_FAILED;
    fputs(json_text_at(json, "warnings"), stderr);
    printf("configuration %llu is in place\n",
           (unsigned long long)json_number_at(json, "generation"));
    json_decref(json);
    return EXIT_OK;
}

static int run_stop(const struct cli_args *args)
{
    json_t *json = cli_ask(args, "POST", "/stop", NULL);
    if (!json)
        return EXIT_FAILED;
    puts(json_is_true(json_object_get(json, "at_once"))
             ? "stopping at once"
             : "stopping: requests in flight are finished first");
    json_decref(json);
    return EXIT_OK;
}

static int run_upgrade(const struct cli_args *args)
{
    json_t *json = cli_ask(args, "POST", "/upgrade", NULL);
    if (!json)
        return EXIT_FAILED;
    puts("another process serves; the old one finishes what it has");
    json_decref(json);
    return EXIT_OK;
}
