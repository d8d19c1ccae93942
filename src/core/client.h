/* A client's connection that speaks HTTP/1.1: reads requests one after the other, gives each an
 * exchange, and sends the responses. While idle it holds no buffer.
 * SPDX-License-Identifier: MIT */
#ifndef CORE_CLIENT_H
#define CORE_CLIENT_H

#include <stdint.h>
#include <sys/socket.h>

struct worker;

/* Takes over fd, an accepted connection. */
void client_accept(struct worker *w, int fd, const struct sockaddr *addr, socklen_t len);
/* Graceful stop: closes those that are idle; others when their exchange is over. */
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

/* Shows every client of this worker, on its own thread. */
void clients_view(struct worker *w, void (*show)(void *ctx, const struct client_view *view),
                  void *ctx);

#endif
