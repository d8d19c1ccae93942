/* SPDX-License-Identifier: MIT */
#include "net/resolve.h"

#include <ares.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

enum { DEADLINE_MS = 5000, TRY_MS = 1000, TRIES = 3, ADDRS_MAX = 256 };

/* A socket that c-ares opens and closes as it likes. Kept for the next one when it is closed:
 * an event that comes late finds readable memory, and one too many does no harm. */
struct dns_socket {
    struct watch watch; /* fd -1: free */
    struct dns_socket *next;
    struct resolver *resolver;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct timer timer; /* c-ares' own: tries again, gives up */
    struct dns_socket *sockets;
    struct list questions;
    uint32_t timeout_ms;
};

/* Lives until c-ares has answered and the asker knows or has lost interest. */
struct resolve {
    struct list node;
    struct resolver *resolver;
    struct timer deadline;
    struct deferred answered;
    bool asked;            /* c-ares will call on_answer() */
    resolve_done_fn *done; /* NULL: the asker is not waiting any more */
    void *ctx;
    uint16_t port;
    struct resolve_answer answer;
    struct net_addr *addrs;
};

const char *resolve_status_text(enum resolve_status status)
{
    switch (status) {
    case RESOLVE_OK: return "ok";
    case RESOLVE_NO_NAME: return "no such name";
    case RESOLVE_TIMEOUT: return "no answer from the name servers in time";
    case RESOLVE_REFUSED: return "the name servers refuse or cannot be reached";
    case RESOLVE_MALFORMED: return "not a valid name, or not a valid answer";
    }
    return "";
}

/* ---- c-ares' sockets and clock ---- */

static void set_timer(struct resolver *r)
{
    struct timeval tv;
    if (ares_timeout(r->channel, NULL, &tv))
        timer_set(r->loop, &r->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    else
        timer_clear(&r->timer);
}

static void on_timer(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, timer);
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(r);
}

static void on_socket(struct watch *w, uint32_t events)
{
    struct resolver *r = container_of(w, struct dns_socket, watch)->resolver;
    bool readable = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    bool writable = events & (EPOLLOUT | EPOLLERR | EPOLLHUP);
    ares_process_fd(r->channel, readable ? w->fd : ARES_SOCKET_BAD,
                    writable ? w->fd : ARES_SOCKET_BAD);
    set_timer(r);
}

static struct dns_socket *find_socket(struct resolver *r, int fd)
{
    struct dns_socket *s = r->sockets;
    while (s && s->watch.fd != fd)
        s = s->next;
    return s;
}

static struct dns_socket *add_socket(struct resolver *r)
{
    struct dns_socket *s = find_socket(r, -1);
    if (!s) {
        s = mem_zalloc(sizeof(*s));
        s->next = r->sockets;
        r->sockets = s;
    }
    s->resolver = r;
    s->watch.on_event = on_socket;
    return s;
}

/* c-ares says what it waits for; neither means that it is about to close the socket.
 * Level-triggered, unlike our own: c-ares does not read until there is no more. */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = ctx;
    struct dns_socket *s = find_socket(r, fd);
    if (!readable && !writable) {
        epoll_ctl(r->loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        if (s)
            s->watch.fd = -1;
        return;
    }
    int op = s ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (!s)
        s = add_socket(r);
    s->watch.fd = fd;
    struct epoll_event ev = {.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
                             .data.ptr = &s->watch};
    epoll_ctl(r->loop->epoll_fd, op, fd, &ev); /* fails for lack of memory: the deadline holds */
}

/* ---- the resolver ---- */

static void init_library(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* not safe with threads, hence once */
}

static int open_channel(struct resolver *r, const char *nameservers)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_library);
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = r};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(&r->channel, &options, mask);
    if (status != ARES_SUCCESS)
        return status == ARES_EFILE ? -ENOENT : -ENOMEM;
    if (nameservers && ares_set_servers_ports_csv(r->channel, nameservers) != ARES_SUCCESS) {
        ares_destroy(r->channel);
        return -EINVAL;
    }
    return 0;
}

struct resolver *resolver_new(struct loop *l, const struct resolver_conf *conf, int *error)
{
    struct resolver *r = mem_zalloc(sizeof(*r));
    r->loop = l;
    r->timeout_ms = conf->timeout_ms ? conf->timeout_ms : DEADLINE_MS;
    list_init(&r->questions);
    timer_init(&r->timer, on_timer);
    *error = open_channel(r, conf->nameservers);
    if (!*error)
        return r;
    free(r);
    return NULL;
}

static void release(struct resolve *q)
{
    timer_fini(q->resolver->loop, &q->deadline);
    list_remove(&q->answered.node);
    list_remove(&q->node);
    free(q->addrs);
    free(q);
}

void resolver_free(struct resolver *r)
{
    list_each_safe (node, &r->questions)
        resolve_cancel(container_of(node, struct resolve, node));
    ares_destroy(r->channel); /* calls on_answer() for the rest, and on_socket_state() */
    timer_fini(r->loop, &r->timer);
    for (struct dns_socket *s = r->sockets, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(r);
}

/* ---- a question ---- */

/* The asker may do anything now, also free the resolver: nothing of ours is touched behind it. */
static void deliver(struct resolve *q)
{
    struct net_addr *addrs = q->addrs;
    struct resolve_answer answer = q->answer;
    resolve_done_fn *done = q->done;
    void *ctx = q->ctx;
    answer.addrs = addrs;
    q->addrs = NULL;
    resolve_cancel(q);
    done(ctx, &answer);
    free(addrs);
}

static void on_answered(struct deferred *d)
{
    deliver(container_of(d, struct resolve, answered));
}

static void on_deadline(struct timer *t)
{
    struct resolve *q = container_of(t, struct resolve, deadline);
    q->answer = (struct resolve_answer){.status = RESOLVE_TIMEOUT};
    deliver(q);
}

static enum resolve_status status_of(int ares_status)
{
    switch (ares_status) {
    case ARES_SUCCESS: return RESOLVE_OK;
    case ARES_ENOTFOUND:
    case ARES_ENODATA: return RESOLVE_NO_NAME;
    case ARES_ETIMEOUT: return RESOLVE_TIMEOUT;
    case ARES_EBADNAME:
    case ARES_EFORMERR:
    case ARES_EBADRESP: return RESOLVE_MALFORMED;
    default: return RESOLVE_REFUSED;
    }
}

static void add_addr(struct resolve *q, const struct net_addr *a)
{
    for (unsigned i = 0; i < q->answer.count; i++) {
        if (net_addr_eq(&q->addrs[i], a))
            return;
    }
    q->addrs[q->answer.count++] = *a;
}

static unsigned min_ttl(unsigned ttl, int other)
{
    return other < 0 ? 0 : ttl < (unsigned)other ? ttl : (unsigned)other;
}

static void take_addrs(struct resolve *q, const struct ares_addrinfo *info)
{
    unsigned max = 0, ttl = RESOLVE_TTL_NEVER;
    for (struct ares_addrinfo_node *n = info->nodes; n && max < ADDRS_MAX; n = n->ai_next)
        max++;
    q->addrs = mem_alloc(max * sizeof(*q->addrs));
    for (struct ares_addrinfo_node *n = info->nodes; n && max; n = n->ai_next, max--) {
        struct net_addr a;
        net_addr_set(&a, n->ai_addr, n->ai_addrlen);
        add_addr(q, &a);
        ttl = min_ttl(ttl, n->ai_ttl);
    }
    for (struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
        ttl = min_ttl(ttl, c->ttl);
    q->answer.ttl_s = ttl;
    if (q->answer.count == 0)
        q->answer.status = RESOLVE_NO_NAME;
}

static void on_answer(void *ctx, int status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolve *q = ctx;
    q->asked = false;
    q->answer = (struct resolve_answer){.status = status_of(status)};
    if (info && q->done && q->answer.status == RESOLVE_OK)
        take_addrs(q, info);
    if (info)
        ares_freeaddrinfo(info);
    if (q->done)
        loop_defer(q->resolver->loop, &q->answered);
    else
        release(q);
}

static void ask(struct resolve *q, struct slice name)
{
    struct resolver *r = q->resolver;
    char text[RESOLVE_NAME_MAX + 2]; /* a trailing dot may stand behind the name */
    if (name.n == 0 || name.n >= sizeof(text) || memchr(name.p, '\0', name.n)) {
        q->answer.status = RESOLVE_MALFORMED;
        loop_defer(r->loop, &q->answered);
        return;
    }
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[6];
    struct text t = text_of(port, sizeof(port) - 1);
    text_dec(&t, q->port);
    *t.p = '\0';
    hints.ai_flags |= ARES_AI_NUMERICSERV;
    q->asked = true;
    ares_getaddrinfo(r->channel, text, port, &hints, on_answer, q);
    set_timer(r);
}

struct resolve *resolve_start(struct resolver *r, struct slice name, uint16_t port,
                              resolve_done_fn *done, void *ctx)
{
    struct resolve *q = mem_zalloc(sizeof(*q));
    q->resolver = r;
    q->done = done;
    q->ctx = ctx;
    q->port = port;
    timer_init(&q->deadline, on_deadline);
    deferred_init(&q->answered, on_answered);
    list_init(&q->node);
    list_append(&r->questions, &q->node);
    timer_set(r->loop, &q->deadline, r->timeout_ms);

    struct net_addr literal;
    if (net_addr_literal(name, port, &literal)) {
        q->addrs = mem_alloc(sizeof(literal));
        q->answer.ttl_s = RESOLVE_TTL_NEVER;
        add_addr(q, &literal);
        loop_defer(r->loop, &q->answered);
    } else {
        ask(q, name);
    }
    return q;
}

void resolve_cancel(struct resolve *q)
{
    q->done = NULL;
    timer_fini(q->resolver->loop, &q->deadline);
    list_remove(&q->answered.node);
    if (!q->asked)
        release(q);
}

/* ---- blocking ---- */

struct blocking {
    struct loop loop;
    struct resolver *resolver;
    resolve_done_fn *done;
    void *ctx;
};

static void on_blocking_done(void *ctx, const struct resolve_answer *answer)
{
    struct blocking *b = ctx;
    b->done(b->ctx, answer);
    resolver_free(b->resolver);
    b->resolver = NULL;
    loop_stop(&b->loop);
}

void resolve_blocking(const struct resolver_conf *conf, struct slice name, uint16_t port,
                      resolve_done_fn *done, void *ctx)
{
    struct blocking b = {.done = done, .ctx = ctx};
    int error = loop_init(&b.loop);
    if (!error)
        b.resolver = resolver_new(&b.loop, conf, &error);
    if (error) {
        done(ctx, &(struct resolve_answer){.status = RESOLVE_REFUSED});
    } else {
        resolve_start(b.resolver, name, port, on_blocking_done, &b);
        loop_run(&b.loop);
    }
    loop_fini(&b.loop);
}
