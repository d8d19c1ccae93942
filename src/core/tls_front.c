/* SPDX-License-Identifier: MIT */
#include "core/tls_front.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/snapshot.h"
#include "net/whole_file.h"

enum { FILE_MAX_BYTES = 1 << 20 };

static int read_directly(void *ctx, const char *path, char **text, size_t *n)
{
    (void)ctx;
    return whole_file_read(path, FILE_MAX_BYTES, text, n);
}

const struct tls_reader tls_read_directly = {read_directly, NULL};

/* What is read while one context is made. */
struct reading {
    const struct tls_reader *reader;
    struct config_diag *diag;
    char **texts;
    uint32_t count;
};

/* An empty path gives an empty text. */
static bool read_file(struct reading *r, struct slice path, struct config_place at,
                      struct slice *text)
{
    size_t n;
    *text = SLICE_NONE;
    if (!path.n)
        return true;
    r->texts = mem_grow(r->texts, r->count + 1, sizeof(char *));
    int error = r->reader->read(r->reader->ctx, path.p, &r->texts[r->count], &n);
    if (error)
        return config_error(r->diag, at, "cannot read " SLICE_FMT ": %s", SLICE_ARG(path),
                            strerror(-error));
    *text = slice_of(r->texts[r->count++], n);
    return true;
}

static bool read_pair(struct reading *r, const struct tls_pair_conf *conf, struct tls_pair *pair)
{
    return read_file(r, conf->certificate, conf->at, &pair->certificate) &&
           read_file(r, conf->key.n ? conf->key : conf->certificate, conf->at, &pair->key) &&
           read_file(r, conf->ocsp, conf->at, &pair->staple);
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

static struct tls_server *make(struct reading *r, const struct pairs *all,
                               const struct listen_conf *l, struct tls_tickets *tickets)
{
    const struct tls_conf *tls = &l->tls;
    struct tls_fault fault;
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
                                   .handshake_ms = tls->handshake_ms,
                                   .verify = tls->client_ca.n ? tls->verify : TLS_VERIFY_OFF};
    for (uint32_t i = 0; i < all->count; i++)
        if (!read_pair(r, all->confs[i], &all->read[i]))
            return NULL;
    if (!read_file(r, tls->client_ca, l->at, &conf.client_ca))
        return NULL;
    struct tls_server *server = tls_server_new(&conf, &fault);
    if (!server)
        config_error(r->diag, fault.pair < 0 ? l->at : all->confs[fault.pair]->at, "%s", fault.why);
    return server;
}

struct tls_server *tls_front_new(const struct snapshot *s, const struct listen_conf *l,
                                 const struct tls_reader *reader, struct tls_tickets *tickets,
                                 struct config_diag *diag)
{
    struct reading r = {.reader = reader, .diag = diag};
    struct pairs all = {0};
    add_pairs(&all, l->tls.pairs, l->tls.pair_count);
    for (uint32_t i = 0; i < s->site_count; i++)
        add_pairs(&all, s->sites[i].pairs, s->sites[i].pair_count);
    all.read = mem_zalloc((all.count + 1) * sizeof(*all.read));
    struct tls_server *server = make(&r, &all, l, tickets);
    for (uint32_t i = 0; i < r.count; i++) {
        explicit_bzero(r.texts[i], strlen(r.texts[i]));
        free(r.texts[i]);
    }
    free(r.texts);
    free(all.read);
    free(all.confs);
    return server;
}
