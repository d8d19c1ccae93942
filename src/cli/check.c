/* SPDX-License-Identifier: MIT */
#include "cli/check.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/carrier.h"
#include "house/gateway.h"
#include "house/tls_back.h"
#include "house/tls_front.h"
#include "net/resolve.h"
#include "proc/spawn_conf.h"

enum { RESOLVE_MS = 3000 };

/* Who the gateway, or what it runs, is to be. */
static void check_user(struct slice user, struct config_place at, struct config_diag *diag)
{
    if (user.n && !getpwnam(user.p))
        config_error(diag, at, "there is no user '" SLICE_FMT "'", SLICE_ARG(user));
    if (user.n && geteuid() != 0)
        config_warn(diag, at, "'user' needs a start by root");
}

static void check_group(struct slice group, struct config_place at, struct config_diag *diag)
{
    if (group.n && !getgrnam(group.p))
        config_error(diag, at, "there is no group '" SLICE_FMT "'", SLICE_ARG(group));
}

static bool is_stream(struct slice path)
{
    return path.n == 0 || slice_eq(path, SLICE("stdout")) || slice_eq(path, SLICE("stderr"));
}

/* Whether what is at path, or, where there is nothing yet, its directory, can be written: 0 or an
 * errno. Nothing is created. */
static int cannot_write(struct slice path, struct config_diag *diag)
{
    if (access(path.p, W_OK) == 0)
        return 0;
    int error = errno;
    size_t n = path.n;
    while (n && path.p[n - 1] != '/')
        n--;
    struct slice directory = n ? arena_dup(&diag->arena, slice_first(path, n)) : SLICE(".");
    if (error != ENOENT)
        return error;
    return access(directory.p, W_OK | X_OK) == 0 ? 0 : errno;
}

static void check_log(struct slice path, struct config_place at, struct config_diag *diag)
{
    int error = is_stream(path) ? 0 : cannot_write(path, diag);
    if (error)
        config_error(diag, at, "cannot write the log " SLICE_FMT ": %s", SLICE_ARG(path),
                     strerror(error));
}

/* Warnings only: the folders may be made by what starts the gateway. */
static void check_folders(const struct gateway_conf *g, struct config_diag *diag)
{
    int error = g->state_path.n ? cannot_write(g->state_path, diag) : 0;
    if (error)
        config_warn(diag, g->state_at, "cannot write the state file " SLICE_FMT ": %s",
                    SLICE_ARG(g->state_path), strerror(error));
    if (access(g->temp_dir.p, W_OK | X_OK) != 0)
        config_warn(diag, g->temp_at, "cannot write files to " SLICE_FMT " (temp-dir): %s",
                    SLICE_ARG(g->temp_dir), strerror(errno));
    for (uint32_t i = 0; i < g->admin_count; i++) {
        const struct admin_conf *a = &g->admin[i];
        bool is_path =
            a->address.kind == ADDRESS_UNIX && a->address.path.n && a->address.path.p[0] != '@';
        error = is_path ? cannot_write(arena_dup(&diag->arena, a->address.path), diag) : 0;
        if (error)
            config_warn(diag, a->at, "cannot make the socket " SLICE_FMT ": %s", SLICE_ARG(a->text),
                        strerror(error));
    }
}

struct lookup {
    const struct backend_conf *backend;
    struct config_diag *diag;
};

static void on_resolved(void *ctx, const struct resolve_answer *answer)
{
    const struct lookup *l = ctx;
    if (answer->status != RESOLVE_OK)
        config_warn(l->diag, l->backend->at, "cannot resolve '" SLICE_FMT "': %s",
                    SLICE_ARG(l->backend->srv.n ? l->backend->srv : l->backend->endpoint.host),
                    resolve_status_text(answer->status));
}

static void check_backend(const struct backend_conf *b, const struct gateway_conf *g,
                          struct config_diag *diag)
{
    struct lookup lookup = {.backend = b, .diag = diag};
    struct resolver_conf conf = {.nameservers = g->nameservers.n ? g->nameservers.p : NULL,
                                 .timeout_ms = RESOLVE_MS};
    if (b->endpoint.path.n && access(b->endpoint.path.p, F_OK) != 0)
        config_warn(diag, b->at, "there is no socket " SLICE_FMT " now",
                    SLICE_ARG(b->endpoint.path));
    const struct resolve_question question = {.name = b->srv.n ? b->srv : b->endpoint.host,
                                              .is_srv = b->srv.n > 0,
                                              .port = b->endpoint.port,
                                              .done = on_resolved,
                                              .ctx = &lookup};
    if (b->srv.n || (!b->endpoint.path.n && !b->program.n && !address_is_literal(b->endpoint.host)))
        resolve_blocking(&conf, &question, 1);
}

/* Connections that are shared stay with a thread (carrier.h). */
static void check_sharing(const struct pool_conf *p, uint32_t threads, struct config_diag *diag)
{
    uint32_t most = p->max_conns;
    for (uint32_t i = 0; i < p->backend_count; i++)
        if (p->backends[i].max_conns && (!most || p->backends[i].max_conns < most))
            most = p->backends[i].max_conns;
    if (most && most < threads && carrier_serves(p))
        config_warn(diag, p->at,
                    "'max-conns' allows %u connection%s to a backend, for %u threads\n"
                    "each thread shares its own among its requests: with fewer they take turns in "
                    "closing and opening them",
                    most, most == 1 ? "" : "s", threads);
}

/* Warnings only, as for roots: programs may be there only where the gateway runs. */
static void check_program(struct slice path, struct config_place at, struct config_diag *diag)
{
    if (path.n && path.p[0] == '/' && access(arena_dup(&diag->arena, path).p, X_OK) != 0)
        config_warn(diag, at, "cannot run '" SLICE_FMT "': %s", SLICE_ARG(path), strerror(errno));
}

static struct slice search_path(const struct strings *env)
{
    for (const char *at = NULL; strings_next(env, &at);)
        if (strncmp(at, "PATH=", 5) == 0)
            return slice_str(at + 5);
    return slice_str(getenv("PATH"));
}

/* One without a slash is looked for as the spawner does (proc/launch.c). */
static void check_command(const struct spawn_conf *conf, struct config_diag *diag)
{
    struct slice name = slice_str(conf->command.p), path = search_path(&conf->env);
    bool is_found = slice_find(name, '/') < name.n;
    if (is_found)
        check_program(name, conf->at, diag);
    while (!is_found && path.n) {
        struct slice dir = slice_first(path, slice_find(path, ':'));
        struct slice file =
            arena_printf(&diag->arena, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(dir), SLICE_ARG(name));
        is_found = access(file.p, X_OK) == 0;
        path = slice_skip(path, dir.n < path.n ? dir.n + 1 : dir.n);
    }
    if (!is_found)
        config_warn(diag, conf->at, "there is no program '" SLICE_FMT "' in PATH", SLICE_ARG(name));
}

static void check_process(const struct spawn_conf *conf, struct config_diag *diag)
{
    check_user(conf->user, conf->user_at, diag);
    check_group(conf->group, conf->group_at, diag);
    if (conf->directory.n && access(conf->directory.p, X_OK) != 0)
        config_warn(diag, conf->directory_at, "cannot enter '" SLICE_FMT "': %s",
                    SLICE_ARG(conf->directory), strerror(errno));
    if (conf->command.count)
        check_command(conf, diag);
}

static void check_processes(const struct pool_conf *pool, struct config_diag *diag)
{
    for (uint32_t i = 0; i < pool->backend_count; i++)
        check_program(pool->backends[i].program, pool->backends[i].at, diag);
    if (pool->spawn)
        check_process(pool->spawn, diag);
    if (pool->run)
        check_process(pool->run, diag);
}

static void check_tls(const struct snapshot *s, struct config_diag *diag)
{
    struct tls_store store = {.opener = -1};
    for (uint32_t i = 0; i < s->listen_count; i++)
        if (s->listens[i].is_tls)
            tls_server_unref(tls_front_new(s, &s->listens[i], &store, NULL, diag));
    for (uint32_t i = 0; i < s->pool_count; i++)
        if (s->pools[i].tls.is_on)
            tls_client_unref(tls_back_new(&s->pools[i], &store, diag));
    tls_store_fini(&store);
}

/* A warning only: they may be there when the gateway runs, or only where it runs. */
static void check_roots(const struct site_conf *site, struct config_diag *diag)
{
    struct stat st;
    for (uint32_t i = 0; i < site->route_count; i++) {
        const struct route_conf *route = &site->routes[i];
        if (!route->needs_root)
            continue;
        const char *root = arena_dup(&diag->arena, route->script.root).p;
        int error = stat(root, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
        if (error)
            config_warn(diag, route->action_at, "cannot serve files of '%s' (root): %s", root,
                        strerror(error));
    }
}

void check_surroundings(const struct snapshot *s, struct config_diag *diag)
{
    check_user(s->gateway.user, s->gateway.user_at, diag);
    check_group(s->gateway.group, s->gateway.group_at, diag);
    check_log(s->gateway.access_path, s->gateway.access_at, diag);
    check_log(s->gateway.error_path, s->gateway.error_at, diag);
    check_folders(&s->gateway, diag);
    check_tls(s, diag);
    for (uint32_t i = 0; i < s->site_count; i++)
        check_roots(&s->sites[i], diag);
    for (uint32_t i = 0; i < s->pool_count; i++)
        check_sharing(&s->pools[i], gateway_threads(&s->gateway), diag);
    for (uint32_t i = 0; i < s->pool_count; i++) {
        check_processes(&s->pools[i], diag);
        for (uint32_t j = 0; j < s->pools[i].backend_count; j++)
            check_backend(&s->pools[i].backends[j], &s->gateway, diag);
    }
}
