/* SPDX-License-Identifier: MIT */
#include "house/listening.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/snapshot.h"
#include "core/stats.h"
#include "house/tls_front.h"
#include "net/addr.h"
#include "net/handover.h"
#include "net/listener.h"

enum { TICKET_ROTATE_MS = 3600 * 1000 };

void listenings_init(struct listenings *ls, uint32_t workers)
{
    *ls = (struct listenings){.workers = workers, .tickets = tls_tickets_new(TICKET_ROTATE_MS)};
    list_init(&ls->list);
}

static struct listening *listening_of(struct list *node)
{
    return container_of(node, struct listening, node);
}

static void drop(struct listenings *ls, struct listening *l)
{
    for (uint32_t i = 0; !l->is_given && i < l->fd_count; i++)
        close(l->fds[i]);
    list_remove(&l->node);
    ls->left = mem_grow(ls->left, ls->left_count + 1, sizeof(struct listener_stats *));
    ls->left[ls->left_count++] = l->stats;
    tls_server_unref(l->tls);
    tls_server_unref(l->next_tls);
    free(l->fds);
    free(l->text);
    free(l);
}

void listenings_fini(struct listenings *ls)
{
    list_each_safe (node, &ls->list)
        drop(ls, listening_of(node));
    for (uint32_t i = 0; i < ls->left_count; i++)
        free(ls->left[i]);
    free(ls->left);
    tls_tickets_free(ls->tickets);
}

static struct listening *find(struct listenings *ls, const struct address *address)
{
    list_each (node, &ls->list)
        if (!listening_of(node)->is_wanted && address_eq(&listening_of(node)->address, address))
            return listening_of(node);
    return NULL;
}

static struct handover_group *find_group(struct handover *h, char kind, const struct address *want)
{
    for (uint32_t i = 0; h && i < h->count; i++) {
        const char *name = h->groups[i].name;
        struct address a;
        if (name && name[0] == kind && !address_parse_listen(slice_str(name + 1), &a) &&
            address_eq(&a, want))
            return &h->groups[i];
    }
    return NULL;
}

/* Where there are more workers than sockets, some share one. */
int *listening_inherit(struct handover *h, char kind, const struct address *address,
                       uint32_t workers, uint32_t *count)
{
    struct handover_group *found = find_group(h, kind, address);
    if (!found)
        return NULL;
    struct handover_group g = handover_take(found);
    uint32_t have = g.count;
    if (have < workers)
        g.fds = mem_grow(g.fds, workers, sizeof(*g.fds));
    for (; g.count < workers; g.count++)
        if (listener_adopt(g.fds[g.count % have], 1, &g.fds[g.count]) < 0)
            abort(); /* without descriptors nothing can be served anyway */
    *count = g.count;
    return g.fds;
}

static int open_sockets(struct listenings *ls, struct listening *l, const struct listen_conf *conf)
{
    l->fds = listening_inherit(ls->handover, 'L', &conf->address, ls->workers, &l->fd_count);
    if (l->fds)
        return 0;
    l->fd_count = ls->workers;
    l->fds = mem_alloc(ls->workers * sizeof(*l->fds));
    if (conf->address.kind == ADDRESS_FD)
        return listener_adopt(conf->address.fd, ls->workers, l->fds);
    struct listener_conf how = {
        .count = ls->workers, .backlog = (int)conf->backlog, .v6_only = !conf->address.dual};
    memcpy(&how.addr.sa, &conf->address.sa, conf->address.len);
    how.addr.len = conf->address.len;
    return listener_open(&how, l->fds);
}

static void announce(const struct net_addr *a, bool is_tls)
{
    char buf[NET_ADDR_TEXT_MAX];
    struct text t = text_of(buf, sizeof(buf));
    if (!a->len)
        return;
    net_addr_put(&t, a);
    const char *scheme = a->sa.sa_family == AF_UNIX ? "" : is_tls ? "https://" : "http://";
    printf("listening on %s" SLICE_FMT "\n", scheme, SLICE_ARG(text_slice(&t)));
    fflush(stdout);
}

/* *tls stays NULL where it is plain. */
static int make_tls(const struct listenings *ls, const struct snapshot *s,
                    const struct listen_conf *conf, struct tls_server **tls)
{
    struct config_diag diag;
    *tls = NULL;
    if (!conf->is_tls)
        return 0;
    config_diag_init(&diag);
    *tls = tls_front_new(s, conf, ls->store, ls->tickets, &diag);
    tls_log_diag(&diag);
    config_diag_fini(&diag);
    return *tls ? 0 : -EINVAL;
}

static int open_listening(struct listenings *ls, const struct listen_conf *conf,
                          struct tls_server *tls)
{
    struct listening *l = mem_zalloc(sizeof(*l));
    int error = open_sockets(ls, l, conf);
    if (error) {
        log_error(0, "cannot listen on " SLICE_FMT ": %s", SLICE_ARG(conf->text), strerror(-error));
        if (ls->diag)
            config_error(ls->diag, conf->at, "cannot listen on " SLICE_FMT ": %s",
                         SLICE_ARG(conf->text), strerror(-error));
        tls_server_unref(tls);
        free(l->fds);
        free(l);
        return error;
    }
    l->id = ++ls->last_id;
    l->text = mem_dup(conf->text.p, conf->text.n);
    l->address = conf->address;
    l->address.path = SLICE_NONE; /* the configuration's memory; sa says the same */
    l->is_wanted = true;
    l->next_tls = tls;
    struct net_addr bound;
    if (listener_addr(l->fds[0], &bound) < 0)
        bound = (struct net_addr){0};
    l->stats = listener_stats_new(ls->workers, &bound);
    list_init(&l->node);
    list_append(&ls->list, &l->node);
    announce(&bound, conf->is_tls);
    return 0;
}

/* Takes over the context. */
static int prepare(struct listenings *ls, const struct listen_conf *conf, struct tls_server *tls)
{
    struct listening *l = find(ls, &conf->address);
    if (!l)
        return open_listening(ls, conf, tls);
    l->is_wanted = true;
    l->next_tls = tls;
    return 0;
}

int listenings_prepare(struct listenings *ls, const struct snapshot *s)
{
    list_each (node, &ls->list)
        listening_of(node)->is_wanted = false;
    for (uint32_t i = 0; i < s->listen_count; i++) {
        struct tls_server *tls;
        int error = make_tls(ls, s, &s->listens[i], &tls);
        if (!error)
            error = prepare(ls, &s->listens[i], tls);
        if (error) {
            listenings_revert(ls);
            return error;
        }
    }
    return 0;
}

int listenings_renew(struct listenings *ls, const struct snapshot *s)
{
    list_each (node, &ls->list)
        listening_of(node)->is_wanted = false;
    for (uint32_t i = 0; i < s->listen_count; i++) {
        struct listening *l = find(ls, &s->listens[i].address);
        int error = l ? make_tls(ls, s, &s->listens[i], &l->next_tls) : -ENOENT;
        if (error) {
            listenings_revert(ls);
            return error;
        }
        l->is_wanted = true;
    }
    return 0;
}

void listenings_revert(struct listenings *ls)
{
    list_each_safe (node, &ls->list) {
        struct listening *l = listening_of(node);
        if (!l->is_given) {
            drop(ls, l);
            continue;
        }
        l->is_wanted = true;
        tls_server_unref(l->next_tls);
        l->next_tls = NULL;
    }
}

void listenings_switch_tls(struct listenings *ls)
{
    list_each (node, &ls->list) {
        struct listening *l = listening_of(node);
        tls_server_unref(l->tls);
        l->tls = l->next_tls;
        l->next_tls = NULL;
    }
}

void listenings_commit(struct listenings *ls)
{
    list_each_safe (node, &ls->list) {
        listening_of(node)->is_given = true;
        if (!listening_of(node)->is_wanted)
            drop(ls, listening_of(node));
    }
}

int listenings_send(const struct listenings *ls, int channel)
{
    int error = 0;
    list_each (node, &ls->list) {
        const struct listening *l = listening_of(node);
        char name[HANDOVER_NAME_MAX];
        struct text t = text_of(name, sizeof(name));
        text_char(&t, 'L');
        text_put(&t, slice_str(l->text));
        if (!l->is_wanted)
            continue;
        for (uint32_t i = 0; i < l->fd_count; i++) /* a worker may have had to give one up */
            if (!listener_is_one(l->fds[i]))
                error = -EBADF;
        if (!error)
            error = handover_send(channel, text_slice(&t), l->fds, l->fd_count);
    }
    return error;
}
