/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct snapshot *load_first(const struct gateway_source *source, struct handover *h)
{
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = source->load(source->ctx, &diag);
    struct slice text = config_diag_print(&diag, &diag.arena);
    fwrite(text.p, 1, text.n, stderr);
    if (!s)
        handover_say_failed(h, text);
    config_diag_fini(&diag);
    return s;
}

static int define_apps(void *ctx, int channel)
{
    const struct beginning *with = ctx;
    int error = with->before ? app_defs_send(with->before, channel) : 0;
    if (!error)
        error = app_defs_send(with->defs, channel);
    return error || !with->expected ? error : app_defs_send(with->expected, channel);
}

/* channel -1: nobody has to forget anything. */
static void forget_defs(struct app_defs *defs, int channel, const struct app_defs *kept,
                        const struct app_defs *also)
{
    if (defs && channel >= 0)
        (void)app_defs_forget(defs, channel, kept, also);
    app_defs_unref(defs);
}

/* What was replaced before is forgotten: a gateway has had a whole configuration to let go of it.
 * A gateway that is started again begins with what is in place. */
static void put_in_place(void *ctx, int channel)
{
    struct beginning *with = ctx;
    if (!with->loaded) /* as at the start */
        return;
    forget_defs(with->before, channel, with->defs, with->expected);
    with->before = with->defs;
    with->defs = with->expected;
    snapshot_unref(with->snapshot);
    with->snapshot = with->loaded;
    with->loaded = NULL;
    with->expected = NULL;
}

/* It could not be put in place; its indexes are not given again. */
static void drop_loaded(void *ctx, int channel)
{
    struct beginning *with = ctx;
    if (!with->loaded)
        return;
    with->defs->next_index = with->expected->next_index;
    memcpy(with->defs->run_dir, with->expected->run_dir, sizeof(with->defs->run_dir));
    forget_defs(with->expected, channel, with->defs, with->before);
    snapshot_unref(with->loaded);
    with->loaded = NULL;
    with->expected = NULL;
}

static int redefine_apps(void *ctx, int channel)
{
    struct beginning *with = ctx;
    struct config_diag diag;
    drop_loaded(with, channel);
    config_diag_init(&diag);
    struct snapshot *s = with->source->load(with->source->ctx, &diag);
    config_diag_fini(&diag); /* the gateway has said what is to be said */
    with->expected = s ? app_defs_new(s, with->defs) : NULL;
    if (!with->expected) {
        if (s)
            snapshot_unref(s);
        return -EINVAL;
    }
    with->loaded = s;
    int error = channel < 0 ? 0 : app_defs_send(with->expected, channel);
    if (error)
        drop_loaded(with, channel);
    return error;
}

static const struct app_defs *newest(const struct beginning *with)
{
    return with->expected ? with->expected : with->defs;
}

static const struct spawn_def *definition(void *ctx, uint32_t i)
{
    const struct app_defs *defs = newest(ctx);
    return i < defs->count ? &defs->v[i].def : NULL;
}

static const char *run_dir(void *ctx)
{
    return newest(ctx)->run_dir;
}

/* Master: the gateway has it; one that is started again finds nobody to take over from. */
static void forget_handover(void *ctx)
{
    struct beginning *with = ctx;
    handover_close(&with->handover);
}

/* In a process of its own, that is started again when it dies. */
static int serve_under_master(struct beginning *with)
{
    int status = EXIT_FAILURE;
    const struct master_jobs jobs = {.define = define_apps,
                                     .redefine = redefine_apps,
                                     .in_place = put_in_place,
                                     .drop = drop_loaded,
                                     .definition = definition,
                                     .run_dir = run_dir,
                                     .serve = gateway_serve,
                                     .started = forget_handover,
                                     .sockets = &with->handover,
                                     .argv = with->source->argv,
                                     .ctx = with};
    with->defs = app_defs_new(with->snapshot, NULL);
    if (with->defs) {
        status = master_run(&jobs);
        drop_loaded(with, -1);
        app_defs_clean(with->defs);
    }
    app_defs_unref(with->before);
    app_defs_unref(with->defs);
    snapshot_unref(with->snapshot);
    return status;
}

int gateway_run(const struct gateway_source *source, const struct gateway_service *service)
{
    struct beginning with = {.source = source, .service = service};
    handover_open(&with.handover);
    with.snapshot = load_first(source, &with.handover);
    int status = EXIT_FAILURE;
    if (with.snapshot)
        status = source->changes || app_defs_wanted(with.snapshot) ? serve_under_master(&with)
                                                                   : gateway_serve(&with, NULL);
    handover_close(&with.handover);
    return status;
}
