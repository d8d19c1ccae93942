/* Being replaced by another program, or by the same with another configuration: it is started, is
 * handed the sockets, and says whether it serves. Until it does nothing has changed here. Main
 * thread.
 * SPDX-License-Identifier: MIT */
#ifndef HOUSE_UPGRADE_H
#define HOUSE_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/loop.h"

struct upgrade_jobs {
    /* Sends everything that is to be handed over. 0 or -errno. */
    int (*send)(void *ctx, int channel);
    /* It takes too long; who has started it is to end it. */
    void (*give_up)(void *ctx);
    /* NULL: the other serves. Else why it does not. */
    void (*done)(void *ctx, const char *why);
    void *ctx;
};

struct upgrade {
    struct loop *loop;
    struct upgrade_jobs jobs;
    struct watch channel; /* fd -1: there is none, or not yet */
    struct timer deadline;
    pid_t child; /* the other program, to be reaped; 0: it is none of ours */
    bool is_under_way;
};

void upgrade_init(struct upgrade *u, struct loop *loop, const struct upgrade_jobs *jobs);
void upgrade_fini(struct upgrade *u);

/* One at a time. timeout_ms: until it has to serve. */
void upgrade_start(struct upgrade *u, char *const argv[], uint32_t timeout_ms);
/* The same where somebody else starts it, and gives us the channel by upgrade_use(). */
void upgrade_expect(struct upgrade *u, uint32_t timeout_ms);
void upgrade_use(struct upgrade *u, int channel);
/* A child has ended. */
void upgrade_reap(struct upgrade *u);

#endif
