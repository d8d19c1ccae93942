/* SPDX-License-Identifier: MIT */
#include "proc/orphans.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/spawner.h"

int orphans_expect(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static bool is_noted(const struct orphans *o, pid_t pid)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->v[i].pid == pid)
            return true;
    return false;
}

void orphans_adopt(struct orphans *o, pid_t known, int64_t now_ms)
{
    char path[64];
    int pid;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    while (children && fscanf(children, "%d", &pid) == 1) {
        if (pid == known || getsid(pid) != pid || is_noted(o, pid))
            continue;
        o->v = mem_grow(o->v, o->count + 1, sizeof(*o->v));
        o->v[o->count++] = (struct orphan){.pid = pid, .kill_ms = now_ms + SPAWNER_GRACE_MS};
    }
    if (children)
        fclose(children);
}

void orphans_forget(struct orphans *o, pid_t pid)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < o->count; i++)
        if (o->v[i].pid != pid)
            o->v[kept++] = o->v[i];
    o->count = kept;
}

int64_t orphans_due_ms(const struct orphans *o)
{
    return o->count ? o->v[0].kill_ms : INT64_MAX;
}

void orphans_kill(struct orphans *o, int64_t now_ms)
{
    while (o->count && o->v[0].kill_ms <= now_ms) {
        kill(-o->v[0].pid, SIGKILL);
        orphans_forget(o, o->v[0].pid);
    }
}

void orphans_fini(struct orphans *o)
{
    free(o->v);
}
