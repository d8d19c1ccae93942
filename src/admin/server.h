/* A small HTTP/1.1 server for the people who run the gateway, on the main thread's loop.
 *
 * Requests are read by the same codec as clients', so they are as strictly checked. Every wait has
 * a deadline and every buffer a bound; an answer is made whole in memory and sent as the peer takes
 * it. What takes longer than a call (workers have to be asked) is answered later: see
 * admin_request_wait(). Event streams are fed with admin_conn_push().
 *
 * Nothing but the main thread touches any of it.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "core/gateway_conf.h"
#include "http/head.h"
#include "net/listener.h"
#include "net/loop.h"

struct admin_conn;
struct handover;

enum { ADMIN_BODY_MAX = 64 * 1024, ADMIN_CONNS_MAX = 256, ADMIN_BACKLOG_MAX = 1 << 20 };

struct admin_request {
    struct admin_conn *conn;
    const struct request_head *head;
    struct slice body;
    struct arena *arena; /* until the answer has been sent */
    bool has_token;      /* it brought the token, or needs none */
};

/* Answers r, at once or later. */
typedef void admin_handle_fn(void *ctx, struct admin_request *r);

struct admin_server {
    struct loop *loop;
    admin_handle_fn *handle;
    void *ctx;
    struct list conns;
    struct list doors;         /* what it listens on */
    struct handover *handover; /* whose sockets are taken first */
    uint32_t count;
};

void admin_server_init(struct admin_server *s, struct loop *loop, struct handover *handover,
                       admin_handle_fn *handle, void *ctx);
void admin_server_fini(struct admin_server *s);
/* Listens on what conf says and on nothing else; what was open already stays. conf is not kept.
 * True, or the reason is in the log. */
bool admin_server_listen(struct admin_server *s, const struct admin_conf *conf, uint32_t count);

/* Hands what it listens on to another program; 0 or -errno. */
int admin_server_send(const struct admin_server *s, int channel);
/* Listens no longer; connections go on. */
void admin_server_leave(struct admin_server *s);

/* ---- answering: each request once ---- */

/* body is malloc()ed and taken over; type: of the content. */
void admin_reply(struct admin_conn *c, uint16_t status, const char *type, char *body, size_t n);
/* {"error": what}; printf-like. */
void admin_refuse(struct admin_conn *c, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The answer comes later, from elsewhere, or within ms. gone() is called if the connection ends or
 * is given up before. */
void admin_request_wait(struct admin_conn *c, void *owner, void (*gone)(void *owner), uint64_t ms);
/* Answers with a stream of events that ends with the connection; gone() is called then. */
void admin_request_stream(struct admin_conn *c, void *owner, void (*gone)(void *owner));
/* More of the stream. A peer that does not take it is cut off. */
void admin_conn_push(struct admin_conn *c, struct slice text);

#endif
