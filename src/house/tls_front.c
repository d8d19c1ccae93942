/* SPDX-License-Identifier: MIT */
#include "house/tls_front.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/snapshot.h"

static bool read_pair(struct tls_files *f, const struct tls_pair_conf *conf, struct tls_pair *pair)
{
    return tls_files_read(f, conf->certificate, conf->at, &pair->certificate) &&
           tls_files_read(f, conf->key.n ? conf->key : conf->certificate, conf->at, &pair->key) &&
           tls_files_read(f, conf->ocsp, conf->at, &pair->staple);
}

static const char *text_or_null(struct slice s)
{
    return s.n ? s.p : NULL;
}

/* Where each pair stands: those of the listener, then those of sites. */
struct pairs {
    const struct tls_pair_conf **confs;
    struct tls_pair *read;
    uint32_t count;
};

static void add_pairs(struct pairs *all, const struct tls_pair_conf *confs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        all->confs = mem_grow(all->confs, all->count + 1, sizeof(struct tls_pair_conf *));
        all->confs[all->count++] = &confs[i];
    }
}

struct telling {
    const struct pairs *all;
    struct config_diag *diag;
};

static void tell(void *ctx, int pair, const char *what)
{
    const struct telling *t = ctx;
    config_warn(t->diag, t->all->confs[pair]->at, "%s", what);
}

static void blame(struct tls_files *f, const struct tls_pair_conf *pair, const char *why)
{
    config_error(f->diag, pair->at, "%s%s", why,
                 pair->key.n ? ""
                             : "\nthe key is looked for in the same file: no key= names another");
}

static struct tls_server *make(struct tls_files *f, const struct pairs *all,
                               const struct listen_conf *l, struct tls_tickets *tickets)
{
    const struct tls_conf *tls = &l->tls;
    struct tls_fault fault;
    struct telling telling = {all, f->diag};
    struct tls_server_conf conf = {.pairs = all->read,
                                   .pair_count = all->count,
                                   .min = tls->min,
                                   .max = tls->max,
                                   .ciphers = text_or_null(tls->ciphers),
                                   .suites = text_or_null(tls->suites),
                                   .curves = text_or_null(tls->curves),
                                   .h2 = tls->h2,
                                   .http1 = tls->http1,
                                   .tickets = tls->tickets ? tickets : NULL,
                                   .kernel = tls->kernel,
                                   .warn = tell,
                                   .warn_ctx = &telling,
                                   .handshake_ms = tls->handshake_ms,
                                   .verify = tls->client_ca.n ? tls->verify : TLS_VERIFY_OFF};
    for (uint32_t i = 0; i < all->count; i++)
        if (!read_pair(f, all->confs[i], &all->read[i]))
            return NULL;
    if (!tls_files_read(f, tls->client_ca, l->at, &conf.client_ca))
        return NULL;
    struct tls_server *server = tls_server_new(&conf, &fault);
    if (!server && fault.pair < 0)
        config_error(f->diag, l->at, "%s", fault.why);
    else if (!server)
        blame(f, all->confs[fault.pair], fault.why);
    return server;
}

struct tls_server *tls_front_new(const struct snapshot *s, const struct listen_conf *l,
                                 struct tls_store *store, struct tls_tickets *tickets,
                                 struct config_diag *diag)
{
    struct tls_files f = {.store = store, .diag = diag};
    struct pairs all = {0};
    add_pairs(&all, l->tls.pairs, l->tls.pair_count);
    for (uint32_t i = 0; i < s->site_count; i++)
        add_pairs(&all, s->sites[i].pairs, s->sites[i].pair_count);
    all.read = mem_zalloc((all.count + 1) * sizeof(*all.read));
    struct tls_server *server = make(&f, &all, l, tickets);
    tls_files_forget(&f);
    free(all.read);
    free(all.confs);
    return server;
}

static bool pairs_name(const struct tls_pair_conf *pairs, uint32_t count, struct slice path)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(pairs[i].certificate, path) || slice_eq(pairs[i].key, path) ||
            slice_eq(pairs[i].ocsp, path))
            return true;
    return false;
}

bool tls_names_file(const struct snapshot *s, struct slice path)
{
    bool found = false;
    for (uint32_t i = 0; i < s->listen_count && !found; i++) {
        const struct tls_conf *tls = &s->listens[i].tls;
        found = pairs_name(tls->pairs, tls->pair_count, path) || slice_eq(tls->client_ca, path);
    }
    for (uint32_t i = 0; i < s->site_count && !found; i++)
        found = pairs_name(s->sites[i].pairs, s->sites[i].pair_count, path);
    for (uint32_t i = 0; i < s->pool_count && !found; i++) {
        const struct pool_tls_conf *tls = &s->pools[i].tls;
        found = slice_eq(tls->ca, path) || slice_eq(tls->crl, path) ||
                slice_eq(tls->certificate, path) || slice_eq(tls->key, path);
    }
    return found;
}
