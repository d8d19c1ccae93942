/* SPDX-License-Identifier: MIT */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/cli_args.h"
#include "cli/cli_proxy.h"
#include "cli/explain.h"
#include "cli/keydoc.h"
#include "config/suggest.h"
#include "net/conf_file.h"

enum { COMMANDS_MAX = 32 };

static const char *const default_files[] = {"./sluice.conf", "/etc/sluice/sluice.conf"};

static const struct config_loader loader = {
    .read = conf_file_read, .glob = conf_file_glob, .env = conf_file_env};

static command_fn run_run, run_proxy, run_check, run_explain;

/* clang-format off */
#define CONFIG_OPTION {"config", "FILE", \
    "the configuration; without it ./sluice.conf, then /etc/sluice/sluice.conf", 'c', false}
#define HELP_OPTION {"help", NULL, "show this", 'h', false}

static const struct cli_option config_options[] = {CONFIG_OPTION, HELP_OPTION, {.name = NULL}};

static const struct cli_option explain_options[] = {
    CONFIG_OPTION,
    {"header", "'NAME: VALUE'", "a field of the request", 'H', true},
    {"client", "IP", "where the request comes from", 0, false},
    HELP_OPTION,
    {.name = NULL},
};

static const struct command core_commands[] = {
    {"run", "", 0, 0, config_options, run_run, "Serve, in the foreground, what a file configures",
     "SIGTERM and SIGINT stop gracefully: requests in flight are finished first."},
    {"proxy", "--to URL...", 0, 0, cli_proxy_options, run_proxy,
     "Serve without a file: every request goes to the given backends",
     "Example:\n  sluice proxy --listen 8080 --to http://127.0.0.1:9001 --to http://127.0.0.1:9002"},
    {"check", "", 0, 0, config_options, run_check,
     "Say what is wrong with a configuration and what would fail at start", NULL},
    {"explain", "METHOD URL", 2, 2, explain_options, run_explain,
     "Show which site, route, pool and limits would serve a request, and why",
     "Example:\n  sluice explain GET http://example.org/api/users -H 'Accept: text/html'"},
    {.name = NULL},
};
/* clang-format on */

const char *cli_config_path(const struct cli_args *args)
{
    const char *given = cli_args_get(args, "config");
    if (given)
        return given;
    for (size_t i = 0; i < sizeof(default_files) / sizeof(default_files[0]); i++)
        if (conf_file_exists(default_files[i]))
            return default_files[i];
    fprintf(stderr,
            "sluice: there is no %s and no %s\n"
            "    hint: name a file with -c FILE, or try: sluice proxy --to URL\n",
            default_files[0], default_files[1]);
    return NULL;
}

static void print_diag(struct config_diag *diag)
{
    struct slice text = config_diag_print(diag, &diag->arena);
    fwrite(text.p, 1, text.n, stderr);
}

static struct snapshot *load_file(void *ctx, struct config_diag *diag)
{
    return snapshot_load(slice_str(ctx), &loader, diag);
}

static int run_run(const struct cli_args *args)
{
    const char *path = cli_config_path(args);
    if (!path)
        return EXIT_FAILED;
    const struct gateway_source source = {load_file, (void *)(uintptr_t)path, true, args->argv};
    return gateway_run(&source, args->service) ? EXIT_FAILED : EXIT_OK;
}

static struct snapshot *load_options(void *ctx, struct config_diag *diag)
{
    struct slice text = cli_proxy_text(ctx, &diag->arena);
    return snapshot_load_text(SLICE("command line"), text, &loader, diag);
}

static int run_proxy(const struct cli_args *args)
{
    if (!cli_args_get(args, "to") && !cli_args_get(args, "root")) {
        fputs("sluice proxy: where to? Name a backend: --to http://127.0.0.1:9001\n"
              "              or a folder: --root DIR\n",
              stderr);
        return EXIT_USAGE;
    }
    const struct gateway_source source = {load_options, (void *)(uintptr_t)args, false, args->argv};
    return gateway_run(&source, args->service) ? EXIT_FAILED : EXIT_OK;
}

struct snapshot *cli_load(const char *path)
{
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = snapshot_load(slice_str(path), &loader, &diag);
    if (!s)
        print_diag(&diag);
    config_diag_fini(&diag);
    return s;
}

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

static int run_check(const struct cli_args *args)
{
    const char *path = cli_config_path(args);
    struct config_diag diag;
    if (!path)
        return EXIT_FAILED;
    config_diag_init(&diag);
    struct snapshot *s = snapshot_load(slice_str(path), &loader, &diag);
    if (s)
        check_surroundings(s, &diag);
    print_diag(&diag);
    bool ok = s && diag.errors == 0;
    if (ok)
        printf("%s: ok, %u listener%s, %u site%s, %u pool%s, %u warning%s\n", path, s->listen_count,
               plural(s->listen_count), s->site_count, plural(s->site_count), s->pool_count,
               plural(s->pool_count), diag.warnings, plural(diag.warnings));
    else
        fprintf(stderr, "%s: %u error%s\n", path, diag.errors, plural(diag.errors));
    snapshot_unref(s);
    config_diag_fini(&diag);
    return ok ? EXIT_OK : EXIT_FAILED;
}

static int run_explain(const struct cli_args *args)
{
    const char *path = cli_config_path(args);
    struct snapshot *s = path ? cli_load(path) : NULL;
    int status = s ? explain_request(s, args, stdout) : EXIT_FAILED;
    snapshot_unref(s);
    return status;
}

/* ---- the program as a whole ---- */

static void print_help(FILE *out, const struct command *commands)
{
    fputs(
        "usage: sluice COMMAND [OPTION...]\n\n"
        "An application gateway: stands in front of applications and passes requests to them.\n\n",
        out);
    cli_print_summary(out, commands);
    fputs("\n  COMMAND --help              the options of a command\n"
          "  --help-keys[=FORMAT]        all configuration keys: text, markdown or man\n"
          "  --version                   the version\n\n"
          "Try it:  sluice proxy --listen 8080 --to http://127.0.0.1:9001\n",
          out);
}

static int help_keys(const char *format)
{
    const struct key *keys = snapshot_key_table();
    if (!*format || strcmp(format, "text") == 0)
        keydoc_text(stdout, keys);
    else if (strcmp(format, "markdown") == 0)
        keydoc_markdown(stdout, keys);
    else if (strcmp(format, "man") == 0)
        keydoc_man(stdout, keys);
    else {
        fprintf(stderr, "sluice: --help-keys knows text, markdown and man, not '%s'\n", format);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

/* For the shells' completion: what may follow `sluice [COMMAND]`. */
static int complete(const struct command *commands, const char *name)
{
    cli_print_words(stdout, commands, name);
    if (!cli_find_command(commands, name))
        fputs("--help\n--help-keys\n--version\n", stdout);
    return EXIT_OK;
}

/* True: argv[1] was one of the options that stand without a command. */
static bool run_option(const struct command *commands, const char *word, const char *next,
                       int *status)
{
    *status = EXIT_OK;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        print_help(stdout, commands);
    else if (strcmp(word, "--help=man") == 0)
        cli_print_man(stdout, commands);
    else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        puts("sluice " SLUICE_VERSION);
    else if (strcmp(word, "--help-keys") == 0)
        *status = help_keys(next);
    else if (strncmp(word, "--help-keys=", 12) == 0)
        *status = help_keys(word + 12);
    else if (strcmp(word, "--complete") == 0)
        *status = complete(commands, next);
    else
        return false;
    return true;
}

static int unknown_command(const struct command *commands, const char *word)
{
    static const char *const options[] = {"--help", "--help-keys", "--version"};
    struct suggest near = suggest_for(slice_str(word));
    for (const struct command *c = commands; c->name; c++)
        suggest_try(&near, c->name);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        suggest_try(&near, options[i]);
    fprintf(stderr, "sluice: unknown %s '%s'\n", *word == '-' ? "option" : "command", word);
    if (near.best)
        fprintf(stderr, "    hint: did you mean '%s'?\n", near.best);
    else
        fputs("    hint: sluice --help lists what there is\n", stderr);
    return EXIT_USAGE;
}

static uint32_t add_commands(struct command *all, uint32_t count, const struct command *more)
{
    for (; more->name && count < COMMANDS_MAX - 1; more++)
        all[count++] = *more;
    return count;
}

int cli_main(int argc, char **argv, const struct cli_parts *parts)
{
    int status;
    struct command commands[COMMANDS_MAX] = {0};
    add_commands(commands, add_commands(commands, 0, core_commands), parts->commands);
    if (argc < 2) {
        print_help(stderr, commands);
        return EXIT_USAGE;
    }
    if (run_option(commands, argv[1], argc > 2 ? argv[2] : "", &status))
        return status;
    const struct command *command = cli_find_command(commands, argv[1]);
    struct cli_args args;
    if (!command)
        return unknown_command(commands, argv[1]);
    if (!cli_args_parse(&args, command, argc - 2, argv + 2))
        return EXIT_USAGE;
    if (cli_args_get(&args, "help")) {
        cli_print_help(stdout, command);
        return EXIT_OK;
    }
    args.service = parts->service;
    args.argv = argv;
    return command->run(&args);
}
