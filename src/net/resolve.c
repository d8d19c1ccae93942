/* SPDX-License-Identifier: MIT */
#include "net/resolve.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/mem.h"

enum { DEADLINE_MS = 5000, TRY_MS = 1000, TRIES = 3, ADDRS_MAX = 256, SERVICES_MAX = 64 };

/* A socket that c-ares opens and closes as it likes. Kept for the next one when it is
 * closed: there are never many. */
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
    struct deferred free;
};

/* A host that an SRV record names, and the question for its addresses. */
struct service {
    struct resolve *asker; /* who asked for the services */
    struct resolve *question;
    struct resolve_record record;
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
    unsigned expected; /* families; each is asked for once */
    unsigned family;   /* that is asked for by itself; 0: all are */
    char *name;        /* to ask again; NULL: nothing is asked of a server */
    struct resolve_answer answer;
    struct net_addr *addrs;
    struct resolve_record *records; /* of a question for services, as all that follows */
    struct service *services;
    unsigned service_count, waiting; /* for the addresses of so many */
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
        if (s) {
            loop_unwatch(r->loop, &s->watch);
            s->watch.fd = -1;
        }
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

static void free_resolver(struct deferred *d)
{
    struct resolver *r = container_of(d, struct resolver, free);
    for (struct dns_socket *s = r->sockets, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    free(r);
}

struct resolver *resolver_new(struct loop *l, const struct resolver_conf *conf, int *error)
{
    struct resolver *r = mem_zalloc(sizeof(*r));
    r->loop = l;
    r->timeout_ms = conf->timeout_ms ? conf->timeout_ms : DEADLINE_MS;
    list_init(&r->questions);
    deferred_init(&r->free, free_resolver);
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
    free(q->records);
    free(q->services);
    free(q->name);
    free(q);
}

void resolver_free(struct resolver *r)
{
    struct list *node;
    list_each (it, &r->questions)
        container_of(it, struct resolve, node)->done = NULL;
    ares_destroy(r->channel); /* releases what it was asked, and calls on_socket_state() */
    while ((node = list_first(&r->questions)))
        release(container_of(node, struct resolve, node));
    timer_fini(r->loop, &r->timer);
    loop_defer(r->loop, &r->free);
}

/* ---- a question ---- */

/* The asker may do anything now, also free the resolver: nothing of ours is touched behind it. */
static void deliver(struct resolve *q)
{
    struct net_addr *addrs = q->addrs;
    struct resolve_record *records = q->records;
    struct resolve_answer answer = q->answer;
    resolve_done_fn *done = q->done;
    void *ctx = q->ctx;
    answer.addrs = addrs;
    answer.records = records;
    q->addrs = NULL;
    q->records = NULL;
    resolve_cancel(q);
    done(ctx, &answer);
    free(addrs);
    free(records);
}

static void on_answered(struct deferred *d)
{
    deliver(container_of(d, struct resolve, answered));
}

static void on_deadline(struct timer *t)
{
    struct resolve *q = container_of(t, struct resolve, deadline);
    if (q->family && q->answer.status == RESOLVE_OK)
        q->answer.unknown |= q->family; /* the other is there */
    else
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
    unsigned max = 0, ttl = q->family ? q->answer.ttl_s : RESOLVE_TTL_NEVER;
    for (struct ares_addrinfo_node *n = info->nodes; n && max < ADDRS_MAX; n = n->ai_next)
        max++;
    q->addrs = mem_grow(q->addrs, q->answer.count + max + 1, sizeof(*q->addrs));
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

static unsigned family_bit(const struct net_addr *a)
{
    return a->sa.sa_family == AF_INET6 ? RESOLVE_V6 : RESOLVE_V4;
}

/* A family that was expected and is missing; 0: none is. */
static unsigned missing_family(const struct resolve *q)
{
    unsigned missing = q->answer.status == RESOLVE_OK ? q->expected : 0;
    for (unsigned i = 0; i < q->answer.count; i++)
        missing &= ~family_bit(&q->addrs[i]);
    return missing & RESOLVE_V4 ? RESOLVE_V4 : missing;
}

static void ask_family(struct resolve *q, unsigned family);

/* What has come for one family, or why not. */
static void take_family(struct resolve *q, enum resolve_status status,
                        const struct ares_addrinfo *info)
{
    if (info && status == RESOLVE_OK)
        take_addrs(q, info);
    else if (status != RESOLVE_NO_NAME)
        q->answer.unknown |= q->family;
}

static void on_answer(void *ctx, int ares_status, int timeouts, struct ares_addrinfo *info)
{
    (void)timeouts;
    struct resolve *q = ctx;
    enum resolve_status status = status_of(ares_status);
    q->asked = false;
    if (!q->family) {
        q->answer = (struct resolve_answer){.status = status};
        if (info && q->done && status == RESOLVE_OK)
            take_addrs(q, info);
    } else if (q->done) {
        take_family(q, status, info);
    }
    if (info)
        ares_freeaddrinfo(info);
    if (!q->done)
        release(q);
    else if (missing_family(q))
        ask_family(q, missing_family(q));
    else
        loop_defer(q->resolver->loop, &q->answered);
}

/* The name with a NUL behind it, or what is wrong with it is answered and false. */
static bool put_name(struct resolve *q, struct slice name, char *text, size_t n)
{
    if (name.n == 0 || name.n >= n || memchr(name.p, '\0', name.n)) {
        q->answer.status = RESOLVE_MALFORMED;
        loop_defer(q->resolver->loop, &q->answered);
        return false;
    }
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return true;
}

static void ask_for(struct resolve *q, int family)
{
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, .ai_family = family, .ai_socktype = SOCK_STREAM};
    char port[6];
    struct text t = text_of(port, sizeof(port) - 1);
    text_dec(&t, q->port);
    *t.p = '\0';
    hints.ai_flags |= ARES_AI_NUMERICSERV;
    q->asked = true;
    ares_getaddrinfo(q->resolver->channel, q->name, port, &hints, on_answer, q);
    set_timer(q->resolver);
}

static void ask(struct resolve *q, struct slice name)
{
    char text[RESOLVE_NAME_MAX + 2]; /* a trailing dot may stand behind the name */
    if (!put_name(q, name, text, sizeof(text)))
        return;
    q->name = mem_dup(name.p, name.n);
    ask_for(q, AF_UNSPEC);
}

static void ask_family(struct resolve *q, unsigned family)
{
    q->expected &= ~family;
    q->family = family;
    ask_for(q, family == RESOLVE_V4 ? AF_INET : AF_INET6);
}

void resolve_expect(struct resolve *q, unsigned families)
{
    q->expected = q->name ? families : 0;
}

static struct resolve *new_question(struct resolver *r, resolve_done_fn *done, void *ctx)
{
    struct resolve *q = mem_zalloc(sizeof(*q));
    q->resolver = r;
    q->done = done;
    q->ctx = ctx;
    timer_init(&q->deadline, on_deadline);
    deferred_init(&q->answered, on_answered);
    list_init(&q->node);
    list_append(&r->questions, &q->node);
    timer_set(r->loop, &q->deadline, r->timeout_ms);
    return q;
}

struct resolve *resolve_start(struct resolver *r, struct slice name, uint16_t port,
                              resolve_done_fn *done, void *ctx)
{
    struct resolve *q = new_question(r, done, ctx);
    struct net_addr literal;
    q->port = port;
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

/* ---- services (RFC 2782) ---- */

static void end_services(struct resolve *q)
{
    if (q->answer.status == RESOLVE_OK && q->answer.count == 0)
        q->answer.status = RESOLVE_NO_NAME;
    if (q->answer.status != RESOLVE_OK)
        q->answer.count = 0;
    loop_defer(q->resolver->loop, &q->answered);
}

static void add_service(struct resolve *q, const struct service *s, const struct net_addr *a)
{
    unsigned n = q->answer.count;
    q->addrs = mem_grow(q->addrs, n + 1, sizeof(*q->addrs));
    q->records = mem_grow(q->records, n + 1, sizeof(*q->records));
    q->addrs[n] = *a;
    q->records[n] = s->record;
    q->answer.count++;
}

static void on_service(void *ctx, const struct resolve_answer *answer)
{
    struct service *s = ctx;
    struct resolve *q = s->asker;
    s->question = NULL;
    for (unsigned i = 0; i < answer->count && q->answer.count < ADDRS_MAX; i++)
        add_service(q, s, &answer->addrs[i]);
    q->answer.unknown |= answer->unknown;
    if (answer->status == RESOLVE_OK && answer->ttl_s < q->answer.ttl_s)
        q->answer.ttl_s = answer->ttl_s;
    if (answer->status != RESOLVE_OK && answer->status != RESOLVE_NO_NAME)
        q->answer.status = answer->status;
    if (--q->waiting == 0)
        end_services(q);
}

/* Priority, weight, port and target of a record; the target as text. False: it is no such record,
 * or says that there is no such service (its target is the root). */
static bool read_service(ns_msg msg, const ns_rr *rr, struct service *s, uint16_t *port,
                         char target[NS_MAXDNAME])
{
    const unsigned char *p = ns_rr_rdata(*rr);
    if (ns_rr_type(*rr) != ns_t_srv || ns_rr_rdlen(*rr) < 7)
        return false;
    s->record.priority = (uint16_t)(p[0] << 8 | p[1]);
    s->record.weight = (uint16_t)(p[2] << 8 | p[3]);
    *port = (uint16_t)(p[4] << 8 | p[5]);
    int n = ns_name_uncompress(ns_msg_base(msg), ns_msg_end(msg), p + 6, target, NS_MAXDNAME);
    return n > 0 && target[0] && strcmp(target, ".") != 0;
}

static void take_services(struct resolve *q, ns_msg msg)
{
    unsigned count = ns_msg_count(msg, ns_s_an);
    count = count < SERVICES_MAX ? count : SERVICES_MAX;
    q->answer.ttl_s = RESOLVE_TTL_NEVER;
    q->services = mem_zalloc((count + 1) * sizeof(*q->services));
    q->waiting = 1; /* ourselves, until all are asked */
    for (unsigned i = 0; i < count; i++) {
        struct service *s = &q->services[q->service_count];
        char target[NS_MAXDNAME];
        uint16_t port;
        ns_rr rr;
        if (ns_parserr(&msg, ns_s_an, (int)i, &rr) < 0 || !read_service(msg, &rr, s, &port, target))
            continue;
        q->answer.ttl_s = min_ttl(q->answer.ttl_s, (int)ns_rr_ttl(rr));
        q->service_count++;
        q->waiting++;
        s->asker = q;
        s->question = resolve_start(q->resolver, slice_str(target), port, on_service, s);
        resolve_expect(s->question, q->expected);
    }
    if (--q->waiting == 0)
        end_services(q);
}

static void on_services(void *ctx, int status, int timeouts, unsigned char *p, int n)
{
    (void)timeouts;
    struct resolve *q = ctx;
    ns_msg msg;
    q->asked = false;
    q->answer = (struct resolve_answer){.status = status_of(status)};
    if (!q->done) {
        release(q);
    } else if (q->answer.status != RESOLVE_OK) {
        loop_defer(q->resolver->loop, &q->answered);
    } else if (ns_initparse(p, n, &msg) < 0) {
        q->answer.status = RESOLVE_MALFORMED;
        loop_defer(q->resolver->loop, &q->answered);
    } else {
        take_services(q, msg);
    }
}

struct resolve *resolve_start_srv(struct resolver *r, struct slice name, resolve_done_fn *done,
                                  void *ctx)
{
    struct resolve *q = new_question(r, done, ctx);
    char text[RESOLVE_NAME_MAX + 2];
    if (!put_name(q, name, text, sizeof(text)))
        return q;
    q->name = mem_dup(name.p, name.n);
    q->asked = true;
    ares_query(r->channel, text, ns_c_in, ns_t_srv, on_services, q);
    set_timer(r);
    return q;
}

void resolve_cancel(struct resolve *q)
{
    q->done = NULL;
    timer_fini(q->resolver->loop, &q->deadline);
    list_remove(&q->answered.node);
    for (unsigned i = 0; i < q->service_count; i++)
        if (q->services[i].question)
            resolve_cancel(q->services[i].question);
    q->service_count = 0;
    if (!q->asked)
        release(q);
}

/* ---- blocking ---- */

struct blocking {
    struct loop loop;
    unsigned missing;
};

struct blocked {
    struct blocking *all;
    const struct resolve_question *question;
};

static void on_blocking_done(void *ctx, const struct resolve_answer *answer)
{
    const struct blocked *b = ctx;
    b->question->done(b->question->ctx, answer);
    if (--b->all->missing == 0)
        loop_stop(&b->all->loop);
}

static void ask_all(struct resolver *r, struct blocked *blocked, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct resolve_question *q = blocked[i].question;
        if (q->is_srv)
            resolve_start_srv(r, q->name, on_blocking_done, &blocked[i]);
        else
            resolve_start(r, q->name, q->port, on_blocking_done, &blocked[i]);
    }
    struct loop *l = r->loop;
    loop_run(l);
    resolver_free(r);
    loop_drain(l);
}

void resolve_blocking(const struct resolver_conf *conf, const struct resolve_question *all,
                      unsigned count)
{
    if (!count)
        return;
    struct blocking b = {.missing = count};
    struct blocked *blocked = mem_alloc(count * sizeof(*blocked));
    for (unsigned i = 0; i < count; i++)
        blocked[i] = (struct blocked){&b, &all[i]};
    int error = loop_init(&b.loop);
    struct resolver *r = error ? NULL : resolver_new(&b.loop, conf, &error);
    if (r)
        ask_all(r, blocked, count);
    for (unsigned i = 0; error && i < count; i++)
        all[i].done(all[i].ctx, &(struct resolve_answer){.status = RESOLVE_REFUSED});
    loop_fini(&b.loop);
    free(blocked);
}
