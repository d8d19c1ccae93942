/* Asks a running gateway, from the command line: one request after the other over one connection to
 * its admin server, on a loop. Answers come whole.
 * SPDX-License-Identifier: MIT */
#ifndef ADMIN_REMOTE_H
#define ADMIN_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "codec/h1.h"
#include "net/addr.h"
#include "net/stream.h"

enum { REMOTE_ANSWER_MAX = 256 << 20 };

/* Where it listens. */
struct remote_address {
    struct net_addr addr;
    char text[NET_ADDR_TEXT_MAX]; /* for messages */
    char token[256];              /* "": none */
};

struct remote_answer {
    int error; /* -errno: there is none, and `what` says more; 0 */
    const char *what;
    uint16_t status;
    struct slice body; /* valid during the call, or until remote_fini(); followed by a NUL */
};

typedef void remote_fn(void *ctx, const struct remote_answer *answer);

struct remote {
    struct loop *loop;
    const struct remote_address *address;
    struct stream stream;
    struct timer timer;
    struct chain out;
    struct h1_reader reader;
    struct arena arena;
    struct response_head head;
    char *body;
    size_t body_bytes;
    bool is_open, is_busy, was_used;
    char *request; /* to be sent again if the kept connection turns out to be closed */
    remote_fn *on_answer;
    void *ctx;
};

void remote_init(struct remote *r, struct loop *loop, const struct remote_address *address);
void remote_fini(struct remote *r);
/* on_answer is called once, by the loop, or at once if there is nobody to connect to. body may be
 * empty. One request at a time; the next may be begun from on_answer. */
void remote_ask(struct remote *r, const char *method, const char *path, struct slice body,
                remote_fn *on_answer, void *ctx);

#endif
