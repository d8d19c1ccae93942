/* Listening sockets, and taking connections off them on a loop.
 *
 * TCP: a group of sockets on one port (SO_REUSEPORT), one for each worker, so that the kernel
 * spreads connections and no two workers wake for one. A unix socket and an inherited one cannot
 * be split: every worker gets a duplicate of the same.
 *
 * A turn takes a bounded number of connections, so that others get their share. When the process
 * runs out of descriptors or memory, accepting rests for LISTENER_REST_MS instead of spinning.
 * SPDX-License-Identifier: MIT */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "net/addr.h"
#include "net/loop.h"

enum { LISTENER_BACKLOG = 4096, LISTENER_TURN_MAX = 64, LISTENER_REST_MS = 100 };

struct listener_conf {
    struct net_addr addr; /* port 0: any; all of a group get the same */
    bool v6_only;   /* [::] without IPv4; otherwise it takes both, or IPv4 where that is all */
    unsigned count; /* sockets wanted: one for each worker */
    int backlog;    /* 0: LISTENER_BACKLOG (the kernel caps it at net.core.somaxconn) */
    mode_t mode;    /* of a unix socket's file; 0: as the umask says */
};

/* Opens conf->count listening sockets into fds, close-on-exec and non-blocking. A stale unix socket
 * is replaced; one that somebody listens on is not, nor is a TCP port, even one that was bound with
 * SO_REUSEPORT: -EADDRINUSE. All or none: 0 or -errno. */
int listener_open(const struct listener_conf *conf, int *fds);
/* count descriptors for a socket we were handed (fd stays open). 0 or -errno. */
int listener_adopt(int fd, unsigned count, int *fds);
/* Whether it is a socket that listens. */
bool listener_is_one(int fd);
/* What a socket is bound to: 0 or -errno. */
int listener_addr(int fd, struct net_addr *a);

/* fd: connected, non-blocking, close-on-exec, owned by the callee from here on; TCP_NODELAY is on.
 * May pause or stop the listener. */
typedef void listener_accept_fn(void *ctx, int fd, const struct sockaddr *addr, socklen_t len);

enum listener_state {
    LISTENER_CLOSED,
    LISTENER_ACCEPTING,
    LISTENER_PAUSED,  /* until listener_resume() */
    LISTENER_RESTING, /* out of descriptors or memory: until the timer */
};

struct listener {
    struct watch watch;
    struct timer rest;
    struct loop *loop;
    listener_accept_fn *on_accept;
    void *ctx;
    enum listener_state state;
    unsigned starved; /* rests since the last connection */
    unsigned batch;   /* connections to try for in the next turn */
};

/* Accepts on fd, which is the listener's from here on (closed on failure). 0 or -errno. */
int listener_start(struct listener *l, struct loop *loop, int fd, listener_accept_fn *on_accept,
                   void *ctx);
/* Connections wait in the kernel meanwhile. Harmless in any state. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Takes what has been connected already, then closes. Harmless when closed. */
void listener_stop(struct listener *l);
/* Closes, and leaves what waits to whoever has the socket, too. Harmless when closed. */
void listener_close(struct listener *l);
/* The bound address as text, without scheme; the listener must be open. */
void listener_put_addr(const struct listener *l, struct text *t);

#endif
