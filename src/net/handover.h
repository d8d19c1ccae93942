/* Handing listening sockets to the program that takes our place, so that no connection is lost
 * meanwhile: those that wait in the kernel wait in the socket, which never closes.
 *
 * The old program starts the new one with one end of a channel, whose descriptor the environment
 * names, and sends its sockets by it, each group with a name. The new one takes those it wants and
 * says that it serves, or why it cannot. Until then the old one serves; if the new one ends without
 * a word, it goes on.
 * SPDX-License-Identifier: MIT */
#ifndef NET_HANDOVER_H
#define NET_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/slice.h"

enum { HANDOVER_NAME_MAX = 512, HANDOVER_WORDS_MAX = 4096 };

/* ---- the old program ---- */

/* Starts the program as argv says, found as a shell would. Answers our end of the channel, or
 * -errno. A program that cannot be started is heard of as one that failed; *pid is 0 then. */
int handover_spawn(char *const argv[], pid_t *pid);
/* Descriptors of one name, sockets that listen as a rule; they stay open here. 0 or -errno. */
int handover_send(int channel, struct slice name, const int *fds, uint32_t count);
/* There are no more. */
int handover_send_end(int channel);

/* For a process that keeps them (handover_keep): our end of a pair and *theirs, or -errno. */
int handover_pair(int *theirs) __attribute__((warn_unused_result));
/* Waits until they have been taken, or not: the other end is closed then. 0 or -ETIMEDOUT. */
int handover_await(int channel) __attribute__((warn_unused_result));

enum handover_news { HANDOVER_NOTHING, HANDOVER_SERVES, HANDOVER_FAILED, HANDOVER_ENDED };
/* What the new program has said; words: of its failure, cut to their room. Does not wait. */
enum handover_news handover_listen(int channel, char *words, size_t room);

/* ---- the new program ---- */

struct handover_group {
    char *name; /* NULL: taken */
    int *fds;
    uint32_t count;
};

struct handover {
    int channel; /* -1: nobody hands us anything */
    struct handover_group *groups;
    uint32_t count;
};

/* From the environment, which forgets it. */
void handover_open(struct handover *h);
static inline bool handover_is_open(const struct handover *h)
{
    return h->channel >= 0;
}
/* Waits for the sockets. 0 or -errno. */
int handover_receive(struct handover *h);
/* The sockets that come by this end of a pair, which is closed behind them; nobody is to be told
 * anything. 0, or -errno: *h is empty. */
int handover_keep(struct handover *h, int channel);
/* The group becomes the caller's; fds is to be freed. */
struct handover_group handover_take(struct handover_group *group);
/* We serve. 0, or -errno: the old program did not hear it, and serves itself. */
int handover_say_serving(struct handover *h);
void handover_say_failed(struct handover *h, struct slice words);
/* Closes the channel, and the sockets nobody took. Harmless when closed. */
void handover_close(struct handover *h);

#endif
