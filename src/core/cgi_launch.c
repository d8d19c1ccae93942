/* SPDX-License-Identifier: MIT */
#include "core/cgi_launch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "codec/cgi.h"
#include "core/app_defs.h"
#include "core/cgi_info.h"
#include "core/exchange.h"
#include "core/relay.h"
#include "core/worker.h"
#include "pool/conn.h"
#include "proc/output.h"
#include "proc/program.h"
#include "proc/spawn.h"
#include "proc/spawn_conf.h"

enum { NEWS_MS = 1000 }; /* for those of an end that is awaited */

struct cgi_run {
    struct list node; /* of the worker's */
    struct spawn_child child;
    struct output output;
    struct timer timer;
    struct deferred free;
    struct worker *worker;
    struct conn *conn; /* NULL: closed */
    const struct app_def *def;
    struct app_defs *defs; /* which it is of: a reference */
    uint64_t exchange;
    uint32_t finish_ms, stop_ms;
    bool is_termed;
    bool is_awaited; /* its exchange wants to know how it ended */
    bool is_silent;  /* and it did not end in time */
    bool is_lost;    /* it ended with its spawner, or somebody has killed it */
    bool is_broken;  /* the same, or it died of a signal that was not ours */
};

/* ---- finding the program ---- */

static const struct app_def *def_of(const struct exchange *x, const struct backend *b)
{
    static const struct slice prefix = SLICE_INIT("cgi:");
    struct slice program = slice_skip(slice_str(b->host), prefix.n);
    return app_defs_find(x->tenure->generation->app_defs, x->attempt.pool->conf->name, program);
}

/* Bytes of the path that are a prefix of whole segments, without a '/' at its end. */
static size_t whole_segments(struct slice path, size_t prefix)
{
    if (prefix < path.n && path.p[prefix] != '/')
        while (prefix && path.p[prefix - 1] != '/')
            prefix--;
    return prefix && path.p[prefix - 1] == '/' ? prefix - 1 : prefix;
}

/* What of the path the route's longest prefix covers. */
static size_t mount_length(const struct exchange *x)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < x->route->path_count; i++) {
        const struct path_match *m = &x->route->paths[i];
        if (m->kind == PATH_PREFIX && slice_starts(x->path, m->text) && m->text.n > longest)
            longest = m->text.n;
    }
    return whole_segments(x->path, longest);
}

/* What the path means for a program, or for a directory of programs: the route's prefix is where it
 * is mounted. Fills script_name, path_info and script_filename; *program is relative to the
 * definition's directory. 0 or -errno. */
static int locate(struct exchange *x, const struct app_def *def, struct cgi_info *info,
                  struct slice *program)
{
    size_t mount = mount_length(x), file = 0;
    struct slice rest = slice_skip(x->path, mount), dir = def->def.directory;
    bool is_single = def->def.argv.count > 0;
    int error = is_single ? 0 : program_find(&def->def, rest, &file);
    if (error)
        return error;
    info->script_name = slice_first(x->path, mount + file);
    info->path_info = slice_skip(rest, file);
    info->script_filename =
        is_single ? def->program : arena_join(&x->arena, dir, slice_first(rest, file));
    if (!info->document_root.n)
        info->document_root = dir;
    *program =
        is_single ? slice_str(def->def.argv.p) : slice_skip(info->script_filename, dir.n + 1);
    return 0;
}

/* As for files: nobody learns the names of what he may not see. */
uint16_t cgi_launch_status(int error, const char **why)
{
    static const struct {
        int error;
        uint16_t status;
        const char *why;
    } errors[] = {
        {ENOENT, 404, "no such program"},
        {ELOOP, 404, "a symbolic link that does not count (symlinks)"},
        {EXDEV, 404, "a symbolic link that leads out of the directory (symlinks)"},
        {EACCES, 403, "the program may not be run"},
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (errors[i].error != -error)
            continue;
        *why = errors[i].why;
        return errors[i].status;
    }
    return 502;
}

/* ---- its life ---- */

static void free_now(struct deferred *d)
{
    struct cgi_run *run = container_of(d, struct cgi_run, free);
    timer_fini(&run->worker->loop, &run->timer);
    app_defs_unref(run->defs);
    free(run);
}

/* At the end of the turn: events of its output may be under way. */
static void free_run(struct cgi_run *run)
{
    output_close(&run->output);
    list_remove(&run->node);
    loop_defer(&run->worker->loop, &run->free);
}

void cgi_abandon_all(struct worker *w)
{
    list_each_safe (node, &w->programs) {
        struct cgi_run *run = container_of(node, struct cgi_run, node);
        if (run->child.state != CHILD_NONE)
            spawn_abandon(&w->spawn, &run->child);
        free_run(run);
    }
}

static void end_if_over(struct cgi_run *run)
{
    if (!run->conn && run->child.state == CHILD_NONE)
        free_run(run);
}

static void tell_end(struct cgi_run *run)
{
    run->is_awaited = false;
    run->conn->stream.readable = true; /* its end is read again */
    run->conn->on_ready(run->conn->owner);
}

static void on_due(struct timer *t)
{
    struct cgi_run *run = container_of(t, struct cgi_run, timer);
    if (run->is_awaited) { /* it has closed its output, and goes on */
        run->is_silent = true;
        tell_end(run);
        return;
    }
    spawn_signal(&run->worker->spawn, &run->child, run->is_termed ? SIGKILL : SIGTERM);
    if (!run->is_termed)
        timer_set(&run->worker->loop, t, run->stop_ms);
    run->is_termed = true;
}

static void on_started(struct spawn_child *child, int error, enum spawn_stage stage)
{
    struct cgi_run *run = container_of(child, struct cgi_run, child);
    if (!error) {
        error = output_start(&run->output, child->pid);
        if (error)
            log_error(run->exchange, "pool " SLICE_FMT ": its errors cannot be heard: %s",
                      SLICE_ARG(run->def->pool), strerror(-error));
        return; /* our end tells the rest */
    }
    log_error(run->exchange, "pool " SLICE_FMT ": cannot start the program (%s): %s",
              SLICE_ARG(run->def->pool), spawn_stage_name(stage), strerror(-error));
    if (run->is_awaited)
        tell_end(run);
    else
        end_if_over(run);
}

static void on_exited(struct spawn_child *child, const struct spawn_exit *e)
{
    struct cgi_run *run = container_of(child, struct cgi_run, child);
    timer_clear(&run->timer);
    if (e->signo && !run->is_termed)
        log_warn(run->exchange, "pool " SLICE_FMT ": the program was killed by signal %d",
                 SLICE_ARG(run->def->pool), e->signo);
    else if (e->status > 0)
        log_warn(run->exchange, "pool " SLICE_FMT ": the program exited with status %d",
                 SLICE_ARG(run->def->pool), e->status);
    run->is_lost = e->lost || (e->signo == SIGKILL && !run->is_termed);
    run->is_broken = e->lost || (e->signo && !run->is_termed);
    if (run->is_awaited)
        tell_end(run); /* which may close the connection, and so free it */
    else
        end_if_over(run);
}

/* The connection is closed: the program has said all, or nobody wants to know. */
static void on_closed(void *ctx, bool is_answered)
{
    struct cgi_run *run = ctx;
    run->conn = NULL;
    run->is_awaited = false;
    if (run->child.state == CHILD_NONE)
        free_run(run);
    else if (is_answered)
        timer_set(&run->worker->loop, &run->timer, run->finish_ms);
    else
        on_due(&run->timer);
}

static struct cgi_run *run_of(const struct conn *c)
{
    return c && c->on_closed == on_closed ? c->closed_ctx : NULL;
}

bool cgi_await_end(const struct conn *c)
{
    struct cgi_run *run = run_of(c);
    if (!run || run->child.state == CHILD_NONE || run->is_silent)
        return false;
    if (!run->is_awaited)
        timer_set(&run->worker->loop, &run->timer, NEWS_MS);
    return run->is_awaited = true;
}

bool cgi_is_awaited(const struct conn *c)
{
    const struct cgi_run *run = run_of(c);
    return run && run->is_awaited;
}

bool cgi_is_lost(const struct conn *c)
{
    const struct cgi_run *run = run_of(c);
    return run && run->is_lost;
}

bool cgi_is_broken(const struct conn *c)
{
    const struct cgi_run *run = run_of(c);
    return run && run->is_broken;
}

/* ---- starting ---- */

/* What the spawner would refuse is left out: it belongs into the pool's `run { env }`. */
static struct strings environment(const struct codec_request *request, struct arena *a)
{
    char **v = cgi_environ(request, a);
    size_t bytes = 0;
    for (size_t i = 0; v[i]; i++)
        bytes += strlen(v[i]) + 1;
    char *p = arena_alloc(a, bytes + 1);
    struct strings env = {.p = p};
    for (size_t i = 0; v[i]; i++) {
        size_t n = strlen(v[i]) + 1;
        if (!message_is_cgi_variable(v[i]) || env.count >= MESSAGE_ENV_MAX)
            continue;
        memcpy(p + env.bytes, v[i], n);
        env.bytes += (uint32_t)n;
        env.count++;
    }
    return env;
}

/* What the program is to be run with, for one request. 0 or -errno. */
static int make_order(struct exchange *x, const struct backend *b, const struct app_def *def,
                      struct spawn_order *order, bool *has_input)
{
    struct cgi_info info;
    struct codec_request request;
    relay_fill_request(x, b, &request, &info);
    *has_input = request.framing.kind == BODY_LENGTH && request.framing.length > 0;
    *order = (struct spawn_order){.fd_count = 2 + *has_input, .targets = {1, 2, 0}};
    if (!def)
        return -ENOENT;
    order->def = def->def.index;
    int error = locate(x, def, &info, &order->program);
    if (error)
        return error;
    cgi_info_mount(&info, x);
    order->env = environment(&request, &x->arena);
    return 0;
}

static int start(struct cgi_run *run, struct spawn_order *order, const struct program_pipes *p)
{
    int stderr_end;
    int error = output_open(&run->output, &stderr_end);
    if (error)
        return error;
    const int fds[] = {p->its_output, stderr_end, p->its_input};
    program_share(&run->def->def, fds, order->fd_count);
    error = spawn_start(&run->worker->spawn, &run->child, order, fds);
    close(stderr_end);
    return error;
}

static struct cgi_run *new_run(struct exchange *x, const struct app_def *def)
{
    const struct spawn_conf *conf = x->attempt.pool->conf->run;
    struct cgi_run *run = mem_zalloc(sizeof(*run));
    *run = (struct cgi_run){.worker = x->worker,
                            .finish_ms = conf ? conf->finish_ms : SPAWN_RUN_FINISH_MS,
                            .stop_ms = conf ? conf->stop_ms : SPAWN_RUN_STOP_MS,
                            .def = def,
                            .defs = app_defs_ref(x->tenure->generation->app_defs),
                            .exchange = x->id};
    list_init(&run->node);
    list_append(&x->worker->programs, &run->node);
    spawn_child_init(&run->child);
    run->child.on_started = on_started;
    run->child.on_exited = on_exited;
    output_init(&run->output, &x->worker->loop, def->pool, LEVEL_WARN);
    run->output.exchange = x->id;
    timer_init(&run->timer, on_due);
    deferred_init(&run->free, free_now);
    return run;
}

/* The connection comes first: what fails once the program runs would have another one run. */
static struct conn *run_program(struct exchange *x, struct backend *b, const struct app_def *def,
                                struct spawn_order *order, struct program_pipes *pipes,
                                const struct conn_owner *owner, int *error)
{
    const struct attempt *at = &x->attempt;
    struct conn *c = conn_adopt(&x->worker->loop, pipes->output, pipes->input, b, at->pool,
                                x->worker->index, at->codec->state_bytes, owner, error);
    if (c) {
        struct cgi_run *run = new_run(x, def);
        run->conn = c;
        c->closed_ctx = run;
        c->on_closed = on_closed;
        *error = start(run, order, pipes);
    }
    program_close_its_ends(pipes);
    if (c && *error)
        conn_close(c); /* and so the run */
    return *error ? NULL : c;
}

struct conn *cgi_launch(struct exchange *x, struct backend *b, const struct conn_owner *owner,
                        int *error)
{
    static const struct pool_outcome nothing; /* it is the program that is missing */
    const struct app_def *def = def_of(x, b);
    struct spawn_order order;
    struct program_pipes pipes;
    bool has_input;
    *error = make_order(x, b, def, &order, &has_input);
    if (!*error)
        *error = program_open_pipes(&pipes, has_input);
    if (!*error)
        return run_program(x, b, def, &order, &pipes, owner, error);
    pool_release(x->attempt.pool, b, x->worker->index, &nothing);
    backend_unref(b);
    return NULL;
}
