/* SPDX-License-Identifier: MIT */
#include "house/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/resolve.h"
#include "pool/members.h"

enum { ASK_AGAIN_MS = 5000, TTL_MIN_S = 1 };
enum { FAILED_MIN_MS = 500, FAILED_MAX_MS = 30 * 1000, SAY_AGAIN_MS = 10 * 60 * 1000 };

struct name {
    struct list node;
    struct names *names;
    struct pool *pool;
    const struct backend_conf *line;
    struct timer again;
    bool is_new;              /* never asked for yet */
    uint32_t failed_ms;       /* until the next question, if the newest had no answer; 0: it had */
    enum resolve_status said; /* in the log, at said_ms: not with each question */
    uint64_t said_ms;
};

struct names {
    struct loop *loop;
    struct resolver *resolver;
    struct resolver_conf conf; /* nameservers is ours */
    struct list list;
};

struct names *names_new(struct loop *l, const struct gateway_conf *conf, int *error)
{
    struct names *n = mem_zalloc(sizeof(*n));
    n->loop = l;
    n->conf.timeout_ms = conf->resolve_ms;
    if (conf->nameservers.n)
        n->conf.nameservers = mem_dup(conf->nameservers.p, conf->nameservers.n);
    list_init(&n->list);
    n->resolver = resolver_new(l, &n->conf, error);
    if (n->resolver)
        return n;
    names_free(n);
    return NULL;
}

void names_free(struct names *n)
{
    struct list *node;
    if (n->resolver)
        resolver_free(n->resolver);
    while ((node = list_shift(&n->list))) {
        struct name *name = container_of(node, struct name, node);
        timer_fini(n->loop, &name->again);
        free(name);
    }
    free((void *)(uintptr_t)n->conf.nameservers);
    free(n);
}

static unsigned family_bit(const struct pool_address *a)
{
    return a->sa.ss_family == AF_INET6 ? RESOLVE_V6 : RESOLVE_V4;
}

/* What the pool has of the line; *count of it. To be freed. */
static struct pool_address *known(const struct name *name, uint32_t *count)
{
    uint32_t room = pool_get_addresses(name->pool, name->line, NULL, 0);
    struct pool_address *list = mem_alloc((room + 1) * sizeof(*list));
    *count = pool_get_addresses(name->pool, name->line, list, room);
    return list;
}

static unsigned known_families(const struct name *name)
{
    uint32_t count;
    unsigned families = 0;
    struct pool_address *list = known(name, &count);
    for (uint32_t i = 0; i < count; i++)
        families |= family_bit(&list[i]);
    free(list);
    return families;
}

/* Of a family that the name server could not be asked for, what was known stays. */
static uint32_t keep_unknown(const struct name *name, unsigned families, struct pool_address **list,
                             uint32_t n)
{
    uint32_t count;
    struct pool_address *was = known(name, &count);
    *list = mem_grow(*list, n + count + 1, sizeof(**list));
    for (uint32_t i = 0; i < count; i++)
        if (families & family_bit(&was[i]))
            (*list)[n++] = was[i];
    free(was);
    return n;
}

static void use_answer(struct name *name, const struct resolve_answer *answer)
{
    struct pool_address *list = mem_zalloc((answer->count + 1) * sizeof(*list));
    uint32_t count = answer->count;
    for (unsigned i = 0; i < answer->count; i++) {
        memcpy(&list[i].sa, &answer->addrs[i].sa, answer->addrs[i].len);
        list[i].len = answer->addrs[i].len;
        if (answer->records) { /* a weight of 0 is next to none (RFC 2782) */
            list[i].weight = answer->records[i].weight ? answer->records[i].weight : 1;
            list[i].tier = answer->records[i].priority;
        }
    }
    if (answer->unknown)
        count = keep_unknown(name, answer->unknown, &list, count);
    pool_set_addresses(name->pool, name->line, list, count);
    free(list);
}

static struct slice name_of(const struct backend_conf *line)
{
    return line->srv.n ? line->srv : line->endpoint.host;
}

/* What was known stays in use, and is asked for again, ever less often. Milliseconds until then. */
static uint64_t note_failure(struct name *name, enum resolve_status status)
{
    uint64_t now_ms = name->names->loop->now_ms;
    uint32_t ms = name->failed_ms ? name->failed_ms * 2 : FAILED_MIN_MS;
    bool is_news =
        !name->failed_ms || name->said != status || now_ms - name->said_ms >= SAY_AGAIN_MS;
    name->failed_ms = ms < FAILED_MAX_MS ? ms : FAILED_MAX_MS;
    if (!is_news)
        return name->failed_ms;
    log_warn(0, "pool " SLICE_FMT ": cannot resolve " SLICE_FMT ": %s; %s, and asking goes on",
             SLICE_ARG(name->pool->conf->name), SLICE_ARG(name_of(name->line)),
             resolve_status_text(status),
             known_families(name) ? "what was known stays in use" : "it gives the pool no backend");
    name->said = status;
    name->said_ms = now_ms;
    return name->failed_ms;
}

static void note_success(struct name *name)
{
    if (name->failed_ms)
        log_info(0, "pool " SLICE_FMT ": " SLICE_FMT " can be resolved again",
                 SLICE_ARG(name->pool->conf->name), SLICE_ARG(name_of(name->line)));
    name->failed_ms = 0;
}

static void on_answer(void *ctx, const struct resolve_answer *answer)
{
    struct name *name = ctx;
    uint64_t again_ms = ASK_AGAIN_MS;
    if (answer->status == RESOLVE_OK) {
        note_success(name);
        use_answer(name, answer);
        if (answer->ttl_s == RESOLVE_TTL_NEVER)
            return;
        if (answer->ttl_s)
            again_ms = (answer->ttl_s > TTL_MIN_S ? answer->ttl_s : TTL_MIN_S) * 1000ul;
    } else {
        again_ms = note_failure(name, answer->status);
    }
    timer_set(name->names->loop, &name->again, again_ms);
}

static void on_over(struct timer *t)
{
    struct name *name = container_of(t, struct name, again);
    const struct backend_conf *line = name->line;
    struct resolver *r = name->names->resolver;
    struct resolve *q =
        line->srv.n ? resolve_start_srv(r, line->srv, on_answer, name)
                    : resolve_start(r, line->endpoint.host, line->endpoint.port, on_answer, name);
    resolve_expect(q, known_families(name));
}

static void set_unix(struct pool *pool, const struct backend_conf *line)
{
    struct pool_address a = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.sa;
    struct slice path = slice_first(line->endpoint.path, sizeof(un->sun_path) - 1);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    pool_set_addresses(pool, line, &a, 1);
}

/* A program has no address; what stands for one tells whoever connects. */
static void set_program(struct pool *pool, const struct backend_conf *line)
{
    struct pool_address a = {.sa.ss_family = AF_UNSPEC, .len = sizeof(sa_family_t)};
    pool_set_addresses(pool, line, &a, 1);
}

void names_follow(struct names *n, struct pool *pool, const struct backend_conf *line,
                  bool is_known)
{
    if (line->program.n) {
        set_program(pool, line);
        return;
    }
    if (line->endpoint.path.n) {
        set_unix(pool, line);
        return;
    }
    struct name *name = mem_zalloc(sizeof(*name));
    *name = (struct name){.names = n, .pool = pool, .line = line};
    list_init(&name->node);
    list_append(&n->list, &name->node);
    timer_init(&name->again, on_over);
    name->is_new = !is_known;
    if (is_known)
        timer_set(n->loop, &name->again, 0);
}

void names_await(struct names *n)
{
    struct resolve_question *all = NULL;
    unsigned count = 0;
    list_each (node, &n->list) {
        struct name *name = container_of(node, struct name, node);
        const struct backend_conf *line = name->line;
        if (!name->is_new)
            continue;
        name->is_new = false;
        all = mem_grow(all, count + 1, sizeof(*all));
        all[count++] = (struct resolve_question){.name = name_of(line),
                                                 .is_srv = line->srv.n > 0,
                                                 .port = line->endpoint.port,
                                                 .done = on_answer,
                                                 .ctx = name};
    }
    resolve_blocking(&n->conf, all, count);
    free(all);
}
