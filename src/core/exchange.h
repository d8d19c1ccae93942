/* One request and its response: our object between a client's stream and the attempts to have a
 * backend answer.
 *
 * Two machines run side by side. `state` is where the exchange as a whole is; `request` and
 * `response` are how far each message has come, for a response may arrive while its request is
 * still being sent. exchange_run() drives all of it: whoever learns of an event calls it and must
 * not touch the exchange afterwards, since it may have ended. SPDX-License-Identifier: MIT */
#ifndef CORE_EXCHANGE_H
#define CORE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/chain.h"
#include "codec/codec.h"
#include "core/access_log.h"
#include "core/attempt.h"
#include "core/pace.h"
#include "core/route.h"
#include "http/framing.h"
#include "http/head.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/spool.h"
#include "rewrite/rules.h"

struct charge;
struct coder;
struct worker;
struct exchange;
struct handoff;
struct pace;

/*  state    what it waits for, and who wakes it
 *  ROUTE    nothing, or its turn where patterns are tried: finds site and route
 *  ADMIT    what decides who may use the route (admit.h)
 *  ACT      what the route's action says (action.h)
 *  BUFFER   the rest of the request body, where a backend must not wait for it: the client's
 *           event, or its timer
 *  PICK     nothing: picks a backend, reuses a connection or dials
 *  WAIT_SLOT the pool: a slot, by the loop; or the timer
 *  CONNECT  the backend's connection: its event, or its timer
 *  RELAY    bytes or room on either side: events and timers of both connections
 *  FINISH   nothing: logs, releases, and hands the client back to its connection */
/* clang-format off */
#define EXCHANGE_STATES(X) \
    X(ROUTE, route) X(ADMIT, admit) X(ACT, act) X(BUFFER, buffer) X(PICK, pick) \
    X(WAIT_SLOT, wait_slot) X(CONNECT, connect) X(RELAY, relay) X(FINISH, finish)
/* clang-format on */

enum exchange_state {
#define X(id, name) EX_##id,
    EXCHANGE_STATES(X)
#undef X
};

/* What an exchange may move in a turn of the loop, bytes read and bytes sent; others wait for about
 * half a millisecond. Of a file it is less: clients that are sent to in turn each find more when
 * they look, and are woken a third as often. */
enum { EXCHANGE_TURN_BYTES = 2 << 20, EXCHANGE_TURN_FILE_BYTES = 160 << 10 };

enum next { NEXT, PARK }; /* PARK: an event or a timer will call us */

/* How far a message has come through the gateway. */
enum progress {
    MSG_NONE,     /* no head yet */
    MSG_BODY,     /* head decoded; the body is coming */
    MSG_COMPLETE, /* everything decoded; some may wait to be encoded */
    MSG_PASSED,   /* everything encoded for the other side */
};

/* What the exchange waits for on one of its connections: which deadline counts. */
enum wait { WAIT_NOTHING, WAIT_READ, WAIT_WRITE, WAIT_HEAD, WAIT_GONE, WAIT_TUNNEL, WAIT_REST };

/* The client side of an exchange, whatever protocol the client speaks. */
struct front {
    bool is_shared; /* responses to others go out by the same connection: what is framed is owed */
    /* Decodes more of the request body into x->req_body while it has room. True: something moved.
     */
    bool (*take)(struct exchange *x);
    /* Encodes an interim response. */
    void (*put_interim)(struct exchange *x, const struct response_head *head);
    /* Encodes x->resp; the body behind it is framed by x->resp_framing. */
    void (*put_head)(struct exchange *x);
    /* Encodes what waits in x->outgoing, the end of the response when it is whole, and sends. True:
     * something moved. */
    bool (*send)(struct exchange *x);
    /* Whether all that was encoded has been sent. */
    bool (*is_flushed)(const struct exchange *x);
    /* Whether body bytes may go past user space, in and out. */
    uint64_t (*plain_left)(const struct exchange *x);
    bool (*is_plain_out)(const struct exchange *x);
    ssize_t (*splice)(struct exchange *x, int pipe_fd, size_t n);
    void (*set_deadline)(struct exchange *x, enum wait wait);
    /* The address the client connected to; its length, 0 if there is none. */
    socklen_t (*local)(const struct exchange *x, struct sockaddr_storage *sa);
    /* The exchange is over and x about to be freed: go on with the connection, or close it. broken:
     * what was sent is not a complete response and must be seen as broken off. */
    void (*done)(struct exchange *x, bool broken);
};

struct exchange {
    enum exchange_state state;
    enum progress request, response;
    uint64_t id;
    struct worker *worker;
    struct listener_stats *listener; /* that the client came by */
    struct tenure *tenure;           /* the configuration it is served by */
    const struct front *front;
    void *client;
    struct exchange *next_spare;
    struct timer timer;    /* how long it may wait for a slot */
    struct deferred again; /* goes on later in the turn, or in the next: this one had its share */
    struct arena arena;

    struct request_head req;
    struct framing req_framing;
    struct fields req_trailers;
    struct chain req_body;
    const struct sockaddr *peer;
    bool https;                      /* came encrypted */
    const struct tls_peer *tls_peer; /* the client's certificate; NULL: none */
    struct slice peer_text;          /* address of the client, without port */
    struct slice asker_text;         /* who asks, see below */
    struct slice path;               /* normalised; what rules have made of it */
    struct slice matched;            /* the path by which the route was found */
    struct mount mount;      /* what rules have changed that responses are to be mapped back by */
    struct mount site_mount; /* the same, of the site's rules alone: it counts for every route */
    const struct cgi_param *params; /* in place of the route's, where they depend on the request */
    const struct route_conf *route;
    const struct request_head *unrouted; /* as it was before a route that may pass it on; or NULL */
    uint32_t gate;                       /* which of the route's is asked: see admit.h */
    struct slice auth_type, auth_user;   /* as whom it was let in; empty: nobody */
    const struct cgi_param *auth_params; /* what a FastCGI authorizer has set */
    uint32_t auth_param_count;
    struct fields *granted;         /* by who let it in, for the response's head; NULL: none */
    struct charge *charges;         /* what gates have counted it as */
    void *gate_state;               /* what it waits with */
    const struct serve_conf *serve; /* how it is served: the route's, once that is found */
    bool is_own;                    /* made by the gateway itself: see subrequest.h */
    bool is_authorizer;             /* and asks a FastCGI application in that role */
    bool passes_over;               /* that route: one behind it is wanted */
    struct slice upgrade;           /* protocol asked for, and on 101 switched to */
    bool takes_trailers;            /* the client wants those of the response (RFC 9110 10.1.4) */
    bool close_client;              /* the client's connection ends behind this exchange */
    bool client_gone;
    bool broken;          /* the response cannot be completed */
    bool is_failing;      /* the response is a page for an error */
    bool expectation_met; /* we have told the client to send its body */
    bool body_unread;     /* of which a part never will be: the connection cannot go on */
    uint8_t reroutes;     /* internal redirects so far (reroute.h) */
    uint16_t field_count; /* of the request as it came */

    struct attempt attempt;
    struct response_head resp;
    struct framing resp_framing;
    struct fields resp_trailers;
    struct chain resp_body;
    struct pace *pace;           /* slows it down; NULL: nothing does */
    struct chain *outgoing;      /* what the front sends: resp_body, coded, or what pace lets go */
    struct chain coded;          /* resp_body in a content coding: see compress.h */
    struct coder *coder;         /* NULL: none, or it has come to its end */
    bool lifts;                  /* what lies in files of resp_body into coded: see lift.h */
    struct handoff *handoff;     /* what the answer asks for in its place; see handoff.h */
    const struct fields *kept;   /* of an answer that has handed over to another route; NULL */
    struct slice wanted_backend; /* by who has sent it here (reroute.h); empty: any */
    uint64_t rate_bytes;         /* of the response in a second; 0: no limit */
    bool buffer_response;        /* taken as fast as the backend sends it */
    struct spool *req_spool, *resp_spool; /* NULL until a body outgrows memory */
    enum wait client_wait, conn_wait;
    bool client_moved, conn_moved; /* since the deadlines were set */
    bool has_waited;               /* for the others of a turn: it is its turn now */
    bool is_large; /* what it moves in a turn, as its last one in this state has shown */

    const struct error_pages *pages; /* for errors; NULL: ours */
    uint16_t error_status;           /* the request is for such a page; 0: it is not */
    enum field_id fail_id;           /* a field for the answer if it fails; 0: none */
    struct slice fail_value;

    struct {
        struct slice method, target, host; /* as asked for, once changed; p NULL before that */
        struct slice end_reason;
        enum access_end ended_by;
    } record; /* for the log */
    /* In us of the loop's clock. */
    uint64_t start_us;                   /* first byte of the request */
    uint64_t read_us;                    /* its head was complete */
    uint64_t wait_us;                    /* began to wait for a slot */
    uint64_t dial_us, begin_us, head_us; /* of the newest attempt: began, request begun, answered */
    uint64_t req_bytes, resp_bytes;      /* body bytes */
    uint64_t flushed_bytes;              /* to a client of HTTP/1 */

    /* Who asks: the client, or whom a trusted proxy names (asker.h). It comes last, as all before
     * it is cleared for each request, but of this only the length. */
    struct net_addr asker;
};

/* An exchange in state ROUTE with nothing in it but an arena; the caller fills req, req_framing,
 * front, client and runs it. */
struct exchange *exchange_new(struct worker *w);
/* Drops one that was never run (an incomplete head). */
void exchange_free(struct exchange *x);
void exchange_run(struct exchange *x);

/* Moves what a body holds in memory beyond the pool's limit into its spool. False: it cannot be
 * written, which has been logged. */
bool exchange_spill(struct exchange *x, struct chain *body, struct spool **spool);

/* In EX_ACT: the route has nothing for this request, and one behind it may have. */
void exchange_pass_over(struct exchange *x, const char *why);

/* The only writer of state. */
void exchange_enter(struct exchange *x, enum exchange_state state, const char *why);

/* Answers with an error page, or, when a response head has gone out, breaks the response off. Marks
 * only: the state machine carries it out. why: for the log; rule: RFC section or NULL. */
void exchange_fail(struct exchange *x, uint16_t status, const char *why, const char *rule)
    __attribute__((cold));
/* Who waits for leave to send its body gets it from us, once (RFC 9110 10.1.1). */
void exchange_answer_expectation(struct exchange *x);
/* n bytes more of the request's body have come. True: that is more than it may have, and has been
 * answered. */
bool exchange_takes_too_much(struct exchange *x, size_t n);
/* The client has gone: nothing more can be said to it. */
void exchange_abort(struct exchange *x, const char *why) __attribute__((cold));

/* Puts the head of the response, x->resp, to the client; after that only its body can follow. */
void exchange_put_head(struct exchange *x);
/* It waits for its turn: what has come for it in time may not have been looked at. */
static inline bool exchange_is_put_off(const struct exchange *x)
{
    return list_is_linked(&x->again.node);
}

/* Whether all of the body is in x->outgoing, or has gone out. */
static inline bool exchange_is_whole(const struct exchange *x)
{
    return x->response == MSG_COMPLETE && !x->coder && !x->lifts && !pace_is_holding(x);
}

const char *exchange_state_name(enum exchange_state state);

#endif
