/* Asking a second backend when the first takes long (`hedge`): whoever begins to answer first is
 * listened to, the other is let go. For GET and the like without a body alone, out of a budget, and
 * only where a slot is free at once.
 *
 * Also dialling a second address of a name when the first takes long to connect (`timeout race`,
 * RFC 8305): nothing has been sent yet, so every request may. The one outrun counts as failed.
 *
 * The exchange has one attempt under way as ever. The connection of the first one stands aside
 * meanwhile and is only watched; it comes back when it answers, or when the second fails.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_HEDGE_H
#define CORE_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

struct backend;
struct conn;
struct exchange;

/* The attempt that stands aside; part of struct attempt. */
struct hedge {
    struct conn *conn;       /* NULL: there is none */
    struct backend *backend; /* while there is; by backend_use() */
    uint64_t dial_us, begin_us;
    bool reused;
    bool is_racing; /* conn does not stand yet */
    bool is_done;   /* one for each request; races do not count */
};

/* A connection is being made; from here on it may take too long. */
void hedge_arm_race(struct exchange *x);
/* One stands, or an idle one is used: who is still connecting has lost. */
void hedge_end_race(struct exchange *x);
/* The request has gone to a backend; from here on it may take too long. */
void hedge_arm(struct exchange *x);
/* It has: x->timer. */
void hedge_on_due(struct exchange *x);
/* For attempt.c: the attempt under way stands aside, another is to begin. */
void hedge_begin(struct exchange *x);
/* The attempt under way has failed and is over. True: the one aside goes on in its place. */
bool hedge_resume(struct exchange *x);
/* No other than the attempt under way is wanted any more. */
void hedge_settle(struct exchange *x);

#endif
