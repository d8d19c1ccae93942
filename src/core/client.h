/* A client's connection: accepting it, its end, and what is common to the protocols spoken on it.
 *
 * What is read and written is the business of a struct client_protocol, and one hands over to the
 * next: what a proxy says of the client, then TLS (each where the listener has it), then HTTP/1.1
 * or HTTP/2, as TLS has agreed or the client's preface says. The last gives each request an
 * exchange and is that exchange's front.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/text.h"
#include "core/client_h1.h"
#include "net/stream.h"

struct client;
struct client_h2;
struct exchange;
struct gateway_conf;
struct listen_conf;
struct listener_stats;
struct tls_server;
struct worker;

struct client_protocol {
    const char *name;
    void (*on_ready)(struct client *c); /* the stream became readable or writable, or ended */
    void (*on_due)(struct client *c);   /* c->timer */
    void (*stop)(struct client *c);     /* graceful: what is under way ends, nothing new begins */
    void (*kill)(struct client *c);     /* ends every exchange at once; the caller closes */
    /* The exchanges under way, one after the other; before: NULL for the first. NULL: no more. */
    const struct exchange *(*exchange_after)(const struct client *c, const struct exchange *before);
    void (*fini)(struct client *c); /* before the memory goes; NULL: nothing to do */
};

/*  OPEN    the protocol's
 *  LINGER  answered for good: reads and discards until the client closes, so that what it still
 *          sends does not reset the connection before it has read the response (RFC 9112 9.6)
 *  CLOSED  freed at the end of the turn */
enum client_state { CLIENT_OPEN, CLIENT_LINGER, CLIENT_CLOSED };

struct client {
    struct stream stream;
    struct timer timer;
    struct deferred free; /* its node is the place among the worker's clients, until it is closed */
    struct worker *worker;
    struct listener_stats *listener; /* that it came by */
    const struct client_protocol *protocol;
    struct chain out;
    enum client_state state : 8;
    bool allows_h2; /* the listener does */
    bool is_tls;
    bool is_running : 1; /* client_h1.c is at it already */
    bool has_rest : 1;   /* it waits until the rest of the last responses has gone */
    bool is_last : 1;    /* nothing is read behind the last one: it has broken off */
    uint32_t requests;
    uint64_t since_ms;         /* accepted */
    struct tls_peer *tls_peer; /* whose certificate it has shown; NULL: none */
    const char *misplaced;     /* why no request is served on this connection; NULL: they are */
    struct client_h1 h1;
    struct client_h2 *h2; /* NULL: speaks HTTP/1.1 */
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } peer;
    struct tls_server *awaited_tls; /* a reference: once the proxy has said who it is */
    struct net_addr *told_local;    /* what the proxy says the client has connected to, or NULL */
};

/* All that an idle client of HTTP/1.1 holds, ten thousand times over. What few of them need is
 * allocated when they do. */
_Static_assert(sizeof(struct client) <= 360, "memory of an idle connection");

/* By which way clients come. */
struct client_way {
    struct listener_stats *stats;   /* where they are counted; outlives them */
    struct tls_server *tls;         /* how they are encrypted; NULL: not at all */
    const struct listen_conf *conf; /* of the newest configuration; NULL: it has none any more */
};

/* Takes over fd, an accepted connection. */
void client_accept(struct worker *w, const struct client_way *way, int fd,
                   const struct sockaddr *addr, socklen_t len);
/* Graceful stop: closes those that are idle; others when their exchanges are over. */
void clients_stop(struct worker *w);
/* The deadline of the stop has passed: breaks off what is left. */
void clients_kill(struct worker *w);

/* What is to be seen of a connection and of the exchange it is busy with; texts are cut to their
 * room. */
struct client_view {
    char client[64];   /* address and port */
    const char *state; /* "idle", "busy", "linger" */
    uint64_t age_ms;
    uint32_t requests;

    uint64_t id; /* of the exchange; 0: none, and what follows is empty */
    const char *exchange_state;
    uint64_t exchange_age_ms;
    char method[24], target[256], pool[64], backend[80];
    uint32_t attempts;
    uint64_t received_bytes, sent_bytes;
};

/* Shows the clients of this worker, on its own thread: once for each exchange under way, else once;
 * up to so many. Answers how many more there are, which costs next to nothing. */
uint32_t clients_view(struct worker *w, uint64_t limit,
                      void (*show)(void *ctx, const struct client_view *view), void *ctx);

/* For the protocols. */

/* What comes first once it is known who it is: a handshake, or HTTP. tls: NULL: no encryption. */
void client_begin(struct client *c, struct tls_server *tls);
/* hard: with a reset. The memory goes at the end of the turn. */
void client_close(struct client *c, bool hard);
/* Nothing more will be said: closes in such a way that what was said arrives. */
void client_end(struct client *c, bool all_was_read);
/* An exchange for a request of this client, of which the first byte came at start_us. */
struct exchange *client_exchange(struct client *c, uint64_t start_us);
/* Its address as text, without port. */
void client_put_peer(const struct client *c, struct text *t);
const struct gateway_conf *client_conf(const struct client *c);
/* The address the client connected to; its length, 0 if there is none. */
socklen_t client_local(const struct client *c, struct sockaddr_storage *sa);

#endif
