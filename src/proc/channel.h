/* Sends and receives messages on one end of a SOCK_SEQPACKET pair, on a loop: what spawner and
 * gateway have in common.
 * SPDX-License-Identifier: MIT */
#ifndef PROC_CHANNEL_H
#define PROC_CHANNEL_H

#include "base/list.h"
#include "net/loop.h"
#include "proc/message.h"

/* Descriptors that came with a message. Those that are not taken (set to -1) are closed. */
struct channel_fds {
    int fd[MESSAGE_FDS_MAX];
    uint32_t count;
};

struct channel {
    struct watch watch; /* fd -1: closed */
    struct loop *loop;
    struct deferred again; /* more than a turn's worth was there */
    struct list unsent;    /* messages that wait for room */
    char *buffer;
    size_t cap;
    char *packet; /* memory for those that are sent; NULL: none has been */
    /* packet: the bytes that m points into. Either callback may close the channel. */
    void (*on_message)(struct channel *c, const struct message *m, struct slice packet,
                       struct channel_fds *fds);
    /* The other end is gone or talks nonsense (why); the channel is closed already. */
    void (*on_closed)(struct channel *c, const char *why);
};

/* Two ends, non-blocking and close-on-exec, with room for the longest message. 0 or -errno. */
int channel_pair(int fds[2]) __attribute__((warn_unused_result));
/* Makes a socket from elsewhere fit for channel_open(), or says -EINVAL: it is something else. */
int channel_adopt(int fd) __attribute__((warn_unused_result));

/* message_max: of those to be received. */
void channel_init(struct channel *c, struct loop *l, size_t message_max);
/* fd is c's from here on, closed on failure. 0 or -errno. */
int channel_open(struct channel *c, int fd) __attribute__((warn_unused_result));
void channel_close(struct channel *c); /* makes no callback; harmless when closed */
void channel_fini(struct channel *c);
bool channel_is_open(const struct channel *c);

/* Takes all that has arrived by now, without waiting for the loop to say so. */
void channel_hear(struct channel *c);

/* Sends m, now or when there is room; fds stay the caller's. 0 or -errno: -E2BIG, -ENOTCONN. A
 * broken connection is seen by on_closed later. */
int channel_send(struct channel *c, const struct message *m, const int *fds, uint32_t fd_count)
    __attribute__((warn_unused_result));
/* Without a loop: waits until there is room, for a few seconds at most. 0 or -errno. */
int channel_send_blocking(int fd, const struct message *m, const int *fds, uint32_t fd_count)
    __attribute__((warn_unused_result));

#endif
