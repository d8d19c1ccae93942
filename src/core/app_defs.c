/* SPDX-License-Identifier: MIT */
#include "core/app_defs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "proc/spawner.h"

static uint32_t count_programs(const struct pool_conf *pool)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool->backend_count; i++)
        n += pool->backends[i].program.n > 0;
    return n;
}

static uint32_t count_all(const struct snapshot *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->pool_count; i++)
        n += (s->pools[i].spawn != NULL) + count_programs(&s->pools[i]);
    return n;
}

bool app_defs_wanted(const struct snapshot *s)
{
    return count_all(s) > 0;
}

/* A backend that is a directory runs what lies in it; one that is a file runs that alone. */
static void split_program(struct slice program, struct define_in *in)
{
    struct stat st;
    in->cgi_root = program;
    if (stat(program.p, &st) < 0 || S_ISDIR(st.st_mode))
        return;
    size_t slash = program.n;
    while (slash && program.p[slash - 1] != '/')
        slash--;
    in->cgi_root = slice_first(program, slash > 1 ? slash - 1 : slash);
    in->cgi_program = slice_skip(program, slash);
}

static bool add(struct app_defs *defs, const struct pool_conf *pool, struct slice program)
{
    const struct gateway_conf *g = &defs->snapshot->gateway;
    struct app_def *d = &defs->v[defs->count];
    *d = (struct app_def){.pool = pool->name, .program = program};
    struct define_in in = {.name = pool->name,
                           .index = defs->count,
                           .run_dir = defs->run_dir,
                           .user = g->user,
                           .group = g->group};
    if (program.n) {
        in.conf = pool->run;
        split_program(program, &in);
    } else {
        in.conf = d->conf = pool->spawn;
    }
    defs->count++;
    const char *why = define(&in, &d->def, &d->memory);
    if (why)
        fprintf(stderr, "sluice: pool " SLICE_FMT ": %s\n", SLICE_ARG(pool->name), why);
    return !why;
}

bool app_defs_make(struct app_defs *defs, struct snapshot *s)
{
    *defs = (struct app_defs){.snapshot = snapshot_ref(s)};
    defs->v = mem_zalloc(count_all(s) * sizeof(*defs->v));
    int error = run_dir_make(defs->run_dir, (uid_t)-1, (gid_t)-1);
    if (error) {
        fprintf(stderr, "sluice: no directory for sockets: %s\n", strerror(-error));
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *pool = &s->pools[i];
        if (pool->spawn)
            ok = add(defs, pool, SLICE_NONE) && ok;
        for (uint32_t k = 0; k < pool->backend_count; k++)
            if (pool->backends[k].program.n)
                ok = add(defs, pool, pool->backends[k].program) && ok;
    }
    return ok;
}

void app_defs_fini(struct app_defs *defs)
{
    for (uint32_t i = 0; i < defs->count; i++)
        free(defs->v[i].memory);
    free(defs->v);
    if (defs->run_dir[0])
        run_dir_remove(defs->run_dir);
    snapshot_unref(defs->snapshot);
}

int app_defs_send(const struct app_defs *defs, int channel)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < defs->count; i++)
        error = spawner_define(channel, &defs->v[i].def);
    return error;
}

const struct app_def *app_defs_find(const struct app_defs *defs, struct slice pool,
                                    struct slice program)
{
    for (uint32_t i = 0; defs && i < defs->count; i++)
        if (slice_eq(defs->v[i].pool, pool) && slice_eq(defs->v[i].program, program))
            return &defs->v[i];
    return NULL;
}
