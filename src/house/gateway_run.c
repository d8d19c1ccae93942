/* SPDX-License-Identifier: MIT */
#include "house/gateway_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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
    return error ? error : app_defs_send(with->defs, channel);
}

/* What was replaced before is forgotten: a gateway has had a whole configuration to let go of it.
 */
static void replace_defs(struct beginning *with, struct app_defs *defs, int channel)
{
    if (with->before)
        (void)app_defs_forget(with->before, channel, with->defs, defs);
    app_defs_unref(with->before);
    with->before = with->defs;
    with->defs = defs;
}

/* Also for a gateway that is started again: it begins with what is in place. */
static int redefine_apps(void *ctx, int channel)
{
    struct beginning *with = ctx;
    struct config_diag diag;
    config_diag_init(&diag);
    struct snapshot *s = with->source->load(with->source->ctx, &diag);
    config_diag_fini(&diag); /* the gateway has said what is to be said */
    struct app_defs *defs = s ? app_defs_new(s, with->defs) : NULL;
    int error = defs ? app_defs_send(defs, channel) : -EINVAL;
    if (error) {
        app_defs_unref(defs);
        if (s)
            snapshot_unref(s);
        return error;
    }
    replace_defs(with, defs, channel);
    snapshot_unref(with->snapshot);
    with->snapshot = s;
    return 0;
}

static const struct spawn_def *definition(void *ctx, uint32_t i)
{
    const struct beginning *with = ctx;
    return i < with->defs->count ? &with->defs->v[i].def : NULL;
}

/* Master: the gateway has it; one that is started again finds nobody to take over from. */
static void forget_handover(void *ctx)
{
    struct beginning *with = ctx;
    handover_close(&with->handover);
}

/* With applications to run: in a process of its own, beside the spawner. */
static int serve_with_apps(struct beginning *with)
{
    int status = EXIT_FAILURE;
    const struct master_jobs jobs = {.define = define_apps,
                                     .redefine = redefine_apps,
                                     .definition = definition,
                                     .serve = gateway_serve,
                                     .started = forget_handover,
                                     .argv = with->source->argv,
                                     .ctx = with};
    with->defs = app_defs_new(with->snapshot, NULL);
    if (with->defs) {
        status = master_run(&jobs);
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
        status =
            app_defs_wanted(with.snapshot) ? serve_with_apps(&with) : gateway_serve(&with, NULL);
    handover_close(&with.handover);
    return status;
}
