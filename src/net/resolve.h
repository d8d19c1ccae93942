/* Names to addresses, without blocking: c-ares on a loop. A resolver belongs to one loop.
 *
 * Literal addresses and /etc/hosts are answered too. The callback always comes later, from the
 * loop, never from inside resolve_start(), and exactly once unless resolve_cancel() was called.
 * SPDX-License-Identifier: MIT */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdint.h>

#include "base/slice.h"
#include "net/addr.h"
#include "net/loop.h"

struct resolver;
struct resolve; /* a question under way */

enum resolve_status {
    RESOLVE_OK,
    RESOLVE_NO_NAME,   /* it does not exist, or has no address */
    RESOLVE_TIMEOUT,   /* no answer within the deadline */
    RESOLVE_REFUSED,   /* the name server failed or refused, or none can be reached */
    RESOLVE_MALFORMED, /* the name is none, or the answer makes no sense */
};

enum { RESOLVE_NAME_MAX = 253 };     /* RFC 1035 2.3.4 */
#define RESOLVE_TTL_NEVER UINT32_MAX /* a literal: it will not change */

struct resolver_conf {
    const char *nameservers; /* "127.0.0.1:5353,10.0.0.1"; NULL: as /etc/resolv.conf says */
    uint32_t timeout_ms;     /* the deadline of a question; 0: 5000 */
};

/* Of an SRV record (RFC 2782): the lowest priority is used, shared by weight. */
struct resolve_record {
    uint16_t priority, weight;
};

struct resolve_answer {
    enum resolve_status status;
    uint32_t ttl_s; /* the smallest; 0 where unknown (/etc/hosts): the asker has its own minimum */
    unsigned count; /* 0 unless RESOLVE_OK */
    const struct net_addr *addrs;         /* as the servers ordered them; valid during the call */
    const struct resolve_record *records; /* of each address; NULL: it was no question for SRV */
    unsigned
        unknown; /* families that could not be asked for, as RESOLVE_V4: see resolve_expect() */
};

enum { RESOLVE_V4 = 1, RESOLVE_V6 = 2 }; /* bits, for address families */

typedef void resolve_done_fn(void *ctx, const struct resolve_answer *answer);

/* NULL on failure; *error is then -errno. conf is not kept. */
struct resolver *resolver_new(struct loop *l, const struct resolver_conf *conf, int *error);
/* Questions under way are cancelled. What an event may be on its way to goes at the end of the
 * loop's turn. */
void resolver_free(struct resolver *r);

/* Asks for all addresses of name. Valid until done() has been called or it is cancelled. */
struct resolve *resolve_start(struct resolver *r, struct slice name, uint16_t port,
                              resolve_done_fn *done, void *ctx);
/* Asks for the services of a name such as _http._tcp.example.org, and for all addresses of their
 * hosts. If any host's addresses cannot be found out, the answer is that fault. */
struct resolve *resolve_start_srv(struct resolver *r, struct slice name, resolve_done_fn *done,
                                  void *ctx);
/* The asker has had addresses of these families. A name server may answer for one family and fail
 * for the other: so one that is missing is asked for once more, by itself, and only what is known
 * not to exist counts as gone. Of services: of any of their hosts. */
void resolve_expect(struct resolve *q, unsigned families);
/* done() will not be called. */
void resolve_cancel(struct resolve *q);

struct resolve_question {
    struct slice name;
    bool is_srv;
    uint16_t port; /* of no services */
    resolve_done_fn *done;
    void *ctx;
};
/* Blocks this thread until all are answered, which takes no longer than for one; for start-up and
 * checks only. */
void resolve_blocking(const struct resolver_conf *conf, const struct resolve_question *all,
                      unsigned count);

const char *resolve_status_text(enum resolve_status status); /* "no such name" */

#endif
