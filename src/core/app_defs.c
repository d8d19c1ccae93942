/* SPDX-License-Identifier: MIT */
#include "core/app_defs.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
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

/* ---- the list, still without definitions ---- */

static struct app_defs *new_list(struct snapshot *s, const struct app_defs *previous)
{
    struct app_defs *defs = mem_zalloc(sizeof(*defs));
    atomic_init(&defs->refs, 1);
    defs->snapshot = snapshot_ref(s);
    defs->v = mem_zalloc(count_all(s) * sizeof(*defs->v));
    if (previous) {
        defs->next_index = previous->next_index;
        memcpy(defs->run_dir, previous->run_dir, sizeof(defs->run_dir));
    }
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct pool_conf *pool = &s->pools[i];
        if (pool->spawn)
            defs->v[defs->count++] = (struct app_def){.pool = pool->name, .conf = pool->spawn};
        for (uint32_t k = 0; k < pool->backend_count; k++)
            if (pool->backends[k].program.n)
                defs->v[defs->count++] =
                    (struct app_def){.pool = pool->name, .program = pool->backends[k].program};
    }
    return defs;
}

struct app_defs *app_defs_ref(struct app_defs *defs)
{
    if (defs)
        atomic_fetch_add_explicit(&defs->refs, 1, memory_order_relaxed);
    return defs;
}

void app_defs_unref(struct app_defs *defs)
{
    if (!defs || atomic_fetch_sub_explicit(&defs->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < defs->count; i++)
        free(defs->v[i].memory);
    free(defs->v);
    snapshot_unref(defs->snapshot);
    free(defs);
}

/* ---- the master's part ---- */

static bool is_same_def(const struct spawn_def *a, const struct spawn_def *b)
{
    struct message one = {.type = MESSAGE_DEFINE, .def = *a},
                   other = {.type = MESSAGE_DEFINE, .def = *b};
    AUTO_FREE char *p = mem_alloc(2 * MESSAGE_MAX);
    one.def.index = other.def.index = 0;
    size_t n = message_write(&one, p, MESSAGE_MAX);
    return n && message_write(&other, p + MESSAGE_MAX, MESSAGE_MAX) == n &&
           memcmp(p, p + MESSAGE_MAX, n) == 0;
}

static bool is_same(const struct app_def *a, const struct app_def *b)
{
    return is_same_def(&a->def, &b->def) && (!a->conf || spawn_conf_runs_alike(a->conf, b->conf));
}

static struct define_in input_of(const struct app_defs *defs, const struct app_def *d)
{
    const struct gateway_conf *g = &defs->snapshot->gateway;
    const struct pool_conf *pool = snapshot_find_pool(defs->snapshot, d->pool);
    struct define_in in = {.conf = d->conf ? d->conf : pool->run,
                           .name = d->pool,
                           .run_dir = defs->run_dir,
                           .user = g->user,
                           .group = g->group};
    if (d->program.n)
        split_program(d->program, &in);
    return in;
}

/* With the index that it had; a new one if something of it is another. */
static const char *define_next(struct app_defs *defs, const struct app_defs *previous)
{
    struct app_def *d = &defs->v[defs->known++];
    const struct app_def *old = app_defs_find(previous, d->pool, d->program);
    struct define_in in = input_of(defs, d);
    in.index = old ? old->def.index : defs->next_index;
    const char *why = define(&in, &d->def, &d->memory);
    if (!why && old && !is_same(d, old)) {
        free(d->memory);
        in.index = defs->next_index;
        why = define(&in, &d->def, &d->memory);
    }
    defs->next_index += in.index == defs->next_index;
    return why;
}

/* The gateway makes sockets in it, also when it is somebody else by then. */
static int make_run_dir(struct app_defs *defs)
{
    const struct gateway_conf *g = &defs->snapshot->gateway;
    if (!g->user.n || geteuid() != 0)
        return run_dir_make(defs->run_dir, (uid_t)-1, (gid_t)-1);
    AUTO_FREE char *user = mem_dup(g->user.p, g->user.n);
    AUTO_FREE char *group = mem_dup(g->group.p ? g->group.p : "", g->group.n);
    const struct passwd *pw = getpwnam(user);
    const struct group *gr = g->group.n ? getgrnam(group) : NULL;
    if (!pw || (g->group.n && !gr))
        return -ENOENT;
    return run_dir_make(defs->run_dir, pw->pw_uid, gr ? gr->gr_gid : pw->pw_gid);
}

struct app_defs *app_defs_new(struct snapshot *s, const struct app_defs *previous)
{
    struct app_defs *defs = new_list(s, previous);
    bool is_first = defs->count && !defs->run_dir[0];
    int error = is_first ? make_run_dir(defs) : 0;
    if (error)
        fprintf(stderr, "sluice: no directory for sockets: %s\n", strerror(-error));
    bool ok = !error;
    while (ok && defs->known < defs->count) {
        const char *why = define_next(defs, previous);
        ok = !why;
        if (why)
            fprintf(stderr, "sluice: pool " SLICE_FMT ": %s\n",
                    SLICE_ARG(defs->v[defs->known - 1].pool), why);
    }
    if (ok)
        return defs;
    if (is_first)
        app_defs_clean(defs);
    app_defs_unref(defs);
    return NULL;
}

void app_defs_clean(const struct app_defs *defs)
{
    if (defs->run_dir[0])
        run_dir_remove(defs->run_dir);
}

int app_defs_send(const struct app_defs *defs, int channel)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < defs->count; i++)
        error = spawner_define(channel, &defs->v[i].def);
    return error;
}

static bool has_index(const struct app_defs *defs, uint32_t index)
{
    for (uint32_t i = 0; defs && i < defs->count; i++)
        if (defs->v[i].def.index == index)
            return true;
    return false;
}

int app_defs_forget(const struct app_defs *defs, int channel, const struct app_defs *kept,
                    const struct app_defs *also)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < defs->count; i++) {
        uint32_t index = defs->v[i].def.index;
        if (!has_index(kept, index) && !has_index(also, index))
            error = spawner_forget(channel, index);
    }
    return error;
}

/* ---- the gateway's part ---- */

struct app_defs *app_defs_expect(struct snapshot *s, const struct app_defs *previous)
{
    return new_list(s, previous);
}

bool app_defs_take(struct app_defs *defs, struct slice packet)
{
    struct message m;
    if (defs->known == defs->count)
        return false;
    struct app_def *d = &defs->v[defs->known];
    d->memory = mem_dup(packet.p, packet.n);
    const char *why = message_read(slice_of(d->memory, packet.n), &m);
    bool is_cgi = d->program.n > 0;
    if (why || m.type != MESSAGE_DEFINE || (m.def.kind == SPAWN_CGI) != is_cgi ||
        !slice_eq(m.def.name, slice_first(d->pool, MESSAGE_NAME_MAX)))
        return false;
    d->def = m.def;
    defs->known++;
    return true;
}

bool app_defs_place(struct app_defs *defs, struct slice run_dir)
{
    if (run_dir.n >= sizeof(defs->run_dir))
        return false;
    memcpy(defs->run_dir, run_dir.p, run_dir.n);
    defs->run_dir[run_dir.n] = '\0';
    return true;
}

bool app_defs_is_whole(const struct app_defs *defs)
{
    return defs->known == defs->count;
}

const struct app_def *app_defs_find(const struct app_defs *defs, struct slice pool,
                                    struct slice program)
{
    for (uint32_t i = 0; defs && i < defs->count; i++)
        if (slice_eq(defs->v[i].pool, pool) && slice_eq(defs->v[i].program, program))
            return &defs->v[i];
    return NULL;
}
