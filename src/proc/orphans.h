/* What a spawner that dies leaves behind. Its applications have been sent TERM by the kernel;
 * whoever does not mind would go on for ever, and take requests from a socket that another has by
 * now. The master, who becomes their parent, ends them after SPAWNER_GRACE_MS.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_ORPHANS_H
#define PROC_ORPHANS_H

#include <stdint.h>
#include <sys/types.h>

struct orphan {
    pid_t pid;
    int64_t kill_ms;
};

struct orphans {
    struct orphan *v; /* in order of their time */
    uint32_t count;
};

/* From here on we become the parent of what our children leave behind. 0 or -errno. */
int orphans_expect(void) __attribute__((warn_unused_result));
/* A spawner has died: takes note of those that were its children, which lead sessions of their own.
 * known: another one that does. */
void orphans_adopt(struct orphans *o, pid_t known, int64_t now_ms);
/* One has been reaped: its number may soon be another's. */
void orphans_forget(struct orphans *o, pid_t pid);
/* When some are to be killed; INT64_MAX: none is there. */
int64_t orphans_due_ms(const struct orphans *o);
/* Kills those whose time has come, and forgets them. */
void orphans_kill(struct orphans *o, int64_t now_ms);
void orphans_fini(struct orphans *o);

#endif
